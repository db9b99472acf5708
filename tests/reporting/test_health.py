"""Warnings about a run: each from made-up metrics, on both sides of its bound."""

import pytest

from reporting.health import find_warnings

CONSTANTS = dict(PROCESS_COEF=1.0, PRM_WARMUP_STEPS=5, PRM_OPTIMIZER_STEPS=4, PRM_LR=1e-3)
CONSTANTS |= dict(MAX_RESPONSE_TOKENS=96, VERIFIER_TIMEOUT=5.0, POLICY_LR=1e-4)
CONSTANTS |= dict(POLICY_GRADIENT_CLIP=1.0, PRM_GRADIENT_CLIP=10.0, VALUE_GRADIENT_CLIP=1.0)
CONSTANTS |= dict(MAX_SURPLUS_AGE=4, ROLLOUT_DTYPE="bfloat16", PRM_UPDATE="after")
SOUND = dict(entropy=0.1, kept_fraction=0.5, truncated_fraction=0.0, prm_accuracy=0.8)
SOUND |= dict(verdicts_correct=60, verdicts_wrong=40, verdicts_timeout=0)
SOUND |= dict(policy_clipped_steps=0.2, prm_clipped_steps=0.0, value_clipped_steps=0.0)
SOUND |= dict(sampler_kl=0.0)


def make_metrics(iterations: int, **changes) -> list[dict]:
    """Return the metrics of a sound run, in which some have other values from iteration 3 on."""
    return [{"iteration": n, **SOUND, **(changes if n >= 3 else {})} for n in range(iterations)]


FAULTS = [  # metric, sound value, spoilt value, iterations that a mean is taken over, constant
    ("entropy", 0.0101, 0.0099, 5, "POLICY_LR"),
    ("kept_fraction", 0.101, 0.099, 5, "SAMPLES_PER_PROMPT"),
    ("truncated_fraction", 0.199, 0.201, 5, "MAX_RESPONSE_TOKENS, now 96"),
    ("prm_accuracy", 0.531, 0.529, 10, "PRM_LR"),
    ("policy_clipped_steps", 0.89, 0.91, 10, "POLICY_GRADIENT_CLIP, now 1.0"),
    ("prm_clipped_steps", 0.89, 0.91, 10, "PRM_GRADIENT_CLIP, now 10.0"),
    ("value_clipped_steps", 0.89, 0.91, 10, "VALUE_GRADIENT_CLIP, now 1.0"),
    ("sampler_kl", 0.0009, 0.0011, 5, "ROLLOUT_DTYPE is 'bfloat16'"),
    ("sampler_kl", 0.0009, 0.0011, 5, "MAX_SURPLUS_AGE = "),
    ("verdicts_timeout", 1, 2, 5, "VERIFIER_TIMEOUT, now 5.0"),  # of 101 and 102
]


@pytest.mark.parametrize("name, sound, spoilt, count, constant", FAULTS)
def test_a_warning_comes_on_its_side_of_the_bound_and_names_a_constant(
    name, sound, spoilt, count, constant
):
    assert find_warnings(make_metrics(40, **{name: sound}), CONSTANTS) == []
    metrics = make_metrics(40, **{name: spoilt})
    first = 3 + count - 1  # where all iterations of the mean are spoilt
    [warning] = find_warnings(metrics, CONSTANTS)
    assert warning.startswith("iteration ") and constant in warning
    assert int(warning.split()[1].rstrip(":")) <= first
    assert find_warnings(metrics[:3], CONSTANTS) == []
    for end in range(first + 1, 40):  # the text stays as it was when it came
        assert find_warnings(metrics[:end], CONSTANTS) == [warning]


@pytest.mark.parametrize("name, sound, spoilt, count, constant", FAULTS)
def test_one_spoilt_iteration_among_sound_ones_is_no_warning(name, sound, spoilt, count, constant):
    metrics = make_metrics(40)
    metrics[20] = {**metrics[20], name: spoilt}
    assert find_warnings(metrics, CONSTANTS) == []


def test_the_prm_may_know_nothing_in_its_warm_up_and_where_its_rewards_do_not_count():
    ranks_wrong = [{"iteration": n, **SOUND, "prm_accuracy": 0.5} for n in range(12)]
    assert find_warnings(ranks_wrong[:11], CONSTANTS) == []  # 2 of warm-up, then 9
    [warning] = find_warnings(ranks_wrong, CONSTANTS)
    assert warning.startswith("iteration 11: for 10 iterations the PRM")
    assert find_warnings(ranks_wrong, {**CONSTANTS, "PROCESS_COEF": 0}) == []


def test_what_is_null_or_missing_is_passed_over():
    assert find_warnings([], CONSTANTS) == []
    assert find_warnings([{"iteration": n} for n in range(20)], CONSTANTS) == []
    metrics = make_metrics(20, truncated_fraction=0.5)
    for line in metrics[::2]:
        line["truncated_fraction"] = None
    [warning] = find_warnings(metrics, CONSTANTS)
    assert warning.startswith("iteration 9: more than one response in five")  # (0 + 4 * 0.5) / 5


def test_several_warnings_come_in_the_order_of_their_iterations():
    metrics = make_metrics(40, prm_accuracy=0.5, kept_fraction=0.0, policy_clipped_steps=1.0)
    numbers = [int(w.split()[1].rstrip(":")) for w in find_warnings(metrics, CONSTANTS)]
    assert numbers == sorted(numbers) and len(numbers) == 3
