"""What rules_run.py makes of rewards: every use against a slow loop; VinePPO's values."""

import math
import sys
from types import SimpleNamespace

import pytest
import torch
from ruled_rows import LENGTHS, MASK, STEPS, K, T, sigmoid
from ruled_rows import OUTCOMES as OUTCOME_REWARDS
from small_runs import ROOT, load_script, read_metrics, without_seconds

sys.path.insert(0, str(ROOT / "benchmarks"))

import rules_run  # noqa: E402
from rules_run import train_prime  # noqa: E402

OUTCOMES = OUTCOME_REWARDS.tolist()
COEFFICIENT, GAMMA = 3.0, 0.9
CHAINS = str(ROOT / "tests/chains.jsonl")


@pytest.fixture(autouse=True)
def constants(monkeypatch):
    values = dict(SAMPLES_PER_PROMPT=K, GAMMA=GAMMA, OUTCOME_COEF=1.0, PROCESS_COEF=COEFFICIENT)
    for name, value in (values | dict(WHITEN=False, PROCESS_SCALE="batch")).items():
        monkeypatch.setattr(train_prime, name, value)


def siblings(row: int) -> list[int]:
    first = row // K * K
    return [other for other in range(first, first + K) if other != row]


def outcome(row: int) -> float:
    return OUTCOMES[row] - sum(OUTCOMES[other] for other in siblings(row)) / (K - 1)


def returns(rewards: list[list[float]]) -> list[list[float]]:
    """Eq. 5: discounted returns-to-go of rewards less the siblings' mean per token."""
    found = []
    for row, own in enumerate(rewards):
        means = [sum(rewards[other]) / len(rewards[other]) for other in siblings(row)]
        centred = [reward - sum(means) / (K - 1) for reward in own]
        found.append(
            [
                sum(GAMMA ** (s - t) * centred[s] for s in range(t, len(own)))
                for t in range(len(own))
            ]
        )
    return found


def add(process: list[list[float]], coefficient: float) -> list[list[float]]:
    return [
        [outcome(row) + coefficient * value for value in own] for row, own in enumerate(process)
    ]


def values_of(logits: list[list[float]]) -> list[list[float]]:
    """V of every prefix: p + sigma(v + logit q) - q, of the others' outcomes."""
    found = []
    for row, own in enumerate(logits):
        others = sum(OUTCOMES[other] for other in siblings(row))
        mean, q = others / (K - 1), (others + 0.5) / K
        found.append([mean + sigmoid(v + math.log(q / (1 - q))) - q for v in own])
    return found


def estimate(values: list[list[float]], decay: float) -> list[list[float]]:
    """GAE(1, decay) of the outcome at the last token, from values of the prefix before each."""
    found = []
    for row, own in enumerate(values):
        after = [*own[1:], OUTCOMES[row]]
        errors = [later - now for now, later in zip(own, after)]
        found.append(
            [sum(decay ** (s - t) * errors[s] for s in range(t, len(own))) for t in range(len(own))]
        )
    return found


def expect(use: str, rewards: list[list[float]], trust: float) -> list[list[float]]:
    sums = [[sum(own[:t]) for t in range(len(own) + 1)] for own in rewards]
    if use == "reward":
        goes = [
            [sum(GAMMA ** (s - t) * own[s] for s in range(t, len(own))) for t in range(len(own))]
            for own in rewards
        ]
        largest = max(abs(value) for own in goes for value in own)
        return add(returns([[r / largest for r in own] for own in rewards]), trust * COEFFICIENT)
    if use == "raw value":
        return estimate([own[:-1] for own in sums], 0.5)
    values = values_of(sums)
    if use == "value":
        return estimate([own[:-1] for own in values], 0.5)
    if use == "progress":
        gains = [[b - a for a, b in zip(own, own[1:])] for own in values]
        return add(returns(gains), trust * COEFFICIENT)
    raise ValueError(use)


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("use", ["reward", "progress", "value", "raw value"])
def test_advantages_of_every_use(use, trust):
    rewards = torch.randn(8, T, generator=torch.Generator().manual_seed(0)) * MASK
    credit = rules_run.Credit({"use": use, "trust": trust, "lambda": 0.5}, "exam")
    credit.accuracy = 0.7
    rollouts = SimpleNamespace(response_mask=MASK, outcome_rewards=OUTCOME_REWARDS)
    found = credit.find_advantages(rollouts, rewards, STEPS)
    own = [row[:length].tolist() for row, length in zip(rewards, LENGTHS)]
    for row, expected in enumerate(expect(use, own, 0.4 if trust else 1.0)):
        assert found[row, : LENGTHS[row]].tolist() == pytest.approx(expected, abs=1e-5)
    assert not found[MASK == 0].any()


@pytest.mark.parametrize(
    "use, rule",
    [
        ("min", lambda r: rules_run.rules.least_to_come(r, MASK, K, STEPS)),
        ("step", lambda r: rules_run.rules.step_advantages(r, MASK, K, STEPS)),
        ("masked", lambda r: rules_run.rules.masked_step_advantages(r, MASK, K)),
        ("spread", None),
    ],
)
def test_advantages_of_steps_are_added_to_those_of_the_outcome(use, rule, monkeypatch):
    rewards = torch.randn(8, T, generator=torch.Generator().manual_seed(0)) * MASK
    credit = rules_run.Credit({"use": use}, "exam")
    rollouts = SimpleNamespace(response_mask=MASK, outcome_rewards=OUTCOME_REWARDS)
    found = credit.find_advantages(rollouts, rewards, STEPS)
    if use == "spread":
        own = torch.zeros_like(rewards)
        for row, steps in enumerate(STEPS):
            for start, end in steps:
                own[row, start:end] = float(rewards[row, start:end].sum())
    else:
        own = rule(rewards)
    own = own / own.abs().max() if use == "min" else own
    for row, length in enumerate(LENGTHS):
        expected = [outcome(row) + COEFFICIENT * float(own[row, t]) for t in range(length)]
        assert found[row, :length].tolist() == pytest.approx(expected, abs=1e-5)
    monkeypatch.setattr(train_prime, "WHITEN", True)
    whitened = credit.find_advantages(rollouts, rewards, STEPS)[MASK == 1]
    assert float(whitened.mean()) == pytest.approx(0, abs=1e-5)
    assert float(whitened.std(correction=0)) == pytest.approx(1, abs=0.05)


def test_without_a_source_the_advantages_are_those_of_the_outcome():
    credit = rules_run.Credit({"source": None}, "exam")
    rollouts = SimpleNamespace(response_mask=MASK, outcome_rewards=OUTCOME_REWARDS)
    found = credit.find_advantages(rollouts, torch.ones(8, T), STEPS)
    torch.testing.assert_close(found, torch.tensor([[outcome(r)] for r in range(8)]) * MASK)


def test_continuations_say_what_a_step_adds(monkeypatch):
    texts = [[10, 11, 12, 13, 14], [10, 11, 22, 23], [30, 31, 32], [10, 11, 12, 43, 44]]
    steps = [[(0, 2), (2, 4), (4, 5)], [(0, 2), (2, 4)], [(0, 1), (1, 3)], [(0, 2), (2, 5)]]
    verdicts = [[True, False, True], [True, True], [None, True], [True, False]]
    outcomes, asked = [1.0, 0.0, 0.0, 1.0], []
    group = SimpleNamespace(prompt_ids=[1, 2], response_ids=texts, outcome_rewards=outcomes)
    for name in ("ability", "ground_truth", "data_source", "question"):
        setattr(group, name, name)

    def continue_from(run, timer, samples, temperature, seeds, rows):
        asked.extend(row["prompt_ids"] for row in rows)
        return [SimpleNamespace(accuracy=sum(row["prompt_ids"]) / 100) for row in rows]

    monkeypatch.setattr(train_prime, "sample_groups", continue_from)
    run = SimpleNamespace(accelerator=SimpleNamespace(device="cpu"))
    credit = rules_run.Credit({"source": "vine"}, "walk")
    rewards = credit.branch(run, rules_run.PhaseTimer(), 0, [group], steps, verdicts)
    # Each prefix is asked for once; a step that states nothing has no value of its own.
    assert sorted(asked) == [[1, 2, 10, 11], [1, 2, 10, 11, 12, 13]]
    first, second = 0.24, 0.49  # of these prefixes
    others = [1 / 3, 2 / 3, 2 / 3, 1 / 3]  # the mean outcome of the siblings
    expected = torch.zeros(4, 5)
    expected[0, [1, 3, 4]] = torch.tensor([first - others[0], second - first, 1 - second])
    expected[1, [1, 3]] = torch.tensor([first - others[1], 0 - first])
    expected[2, 2] = 0 - others[2]
    expected[3, [1, 4]] = torch.tensor([first - others[3], 1 - first])
    torch.testing.assert_close(rewards, expected)


def test_the_rule_prime_is_train_prime(tmp_path, monkeypatch):
    constants = dict(MODEL=str(ROOT / "embedded/tables-sft"), TRAIN_DATA=CHAINS)
    constants |= dict(PROMPTS_PER_ITERATION=3, MAX_RESPONSE_TOKENS=96)
    constants |= dict(NUM_ITERATIONS=2, PRM_UPDATE="before", PRM_OPTIMIZER_STEPS=3, PRM_LR=3e-4)
    constants |= dict(GAMMA=GAMMA, PROCESS_COEF=COEFFICIENT, POLICY_LR=1e-3, WHITEN=True)
    constants |= dict(POLICY_WARMUP_STEPS=0, EVAL_DATA=None, OUTPUT_DIR=str(tmp_path / "runs"))
    for name in ("own", "rule"):
        script = load_script("train_prime.py", tmp_path, **constants, RUN_NAME=name)
        if name == "rule":
            monkeypatch.setattr(rules_run, "train_prime", script)
            script.learn = rules_run.Credit({}, "hard").learn
        script.main()
    own, rule = (without_seconds(read_metrics(tmp_path / "runs" / n)) for n in ("own", "rule"))
    lacking = {"prm_loss", "prm_gradient_norm", "prm_clipped_steps"}
    lacking |= {"process_reward_mean", "process_return_largest"}
    for one, other in zip(own, rule, strict=True):
        assert one["policy_gradient_norm"] > 0 and one["prm_accuracy"] is not None
        for name in one.keys() - lacking:
            assert one[name] == other[name], name


@pytest.mark.parametrize(
    "settings",
    [{"use": "value"}, {"learns": "sampled", "use": "raw value"}, {"learns": 2}],
    ids=["kept", "sampled", "two iterations"],
)
def test_a_reward_model_is_measured_before_it_has_learned(settings, tmp_path, monkeypatch):
    """In one step on shuffled data: what it says before the step, and what it says after it."""
    constants = dict(MODEL=str(ROOT / "embedded/tables-sft"), TRAIN_DATA=CHAINS)
    constants |= dict(PROMPTS_PER_ITERATION=3, MAX_RESPONSE_TOKENS=96)
    constants |= dict(NUM_ITERATIONS=2, PRM_UPDATE="before", PRM_OPTIMIZER_STEPS=1, PRM_LR=1e-2)
    constants |= dict(PRM_WARMUP_STEPS=0, POLICY_LR=0.0, EVAL_DATA=None, OUTPUT_DIR=str(tmp_path))
    script = load_script("train_prime.py", tmp_path, **constants, RUN_NAME="run")
    monkeypatch.setattr(rules_run, "train_prime", script)
    credit, accuracies = rules_run.Credit(settings, "hard"), []
    update = credit.update_prm

    def spy(run, rollouts, *rest):
        before = credit.compare(run, run.roles.prm.module, rollouts)
        rewards, unseen, metrics = update(run, rollouts, *rest)
        after = credit.compare(run, run.roles.prm.module, rollouts)
        torch.testing.assert_close(unseen, before, atol=1e-5, rtol=0)
        expected = before if "use" in settings else after
        torch.testing.assert_close(rewards, expected, atol=1e-5, rtol=0)
        assert (after - before).abs().max() > 1e-3
        accuracies.append(metrics["prm_accuracy"])
        return rewards, unseen, metrics

    credit.update_prm, script.learn = spy, credit.learn
    script.main()
    assert len(accuracies) == 2 and credit.accuracy == pytest.approx(sum(accuracies) / 2)
    lines = read_metrics(tmp_path / "run")
    assert all(line["cpu_seconds"] > 0 and line["step_auc"] is not None for line in lines)


def test_a_reward_model_beside_rloo_changes_nothing():
    rewards = torch.randn(8, T, generator=torch.Generator().manual_seed(0)) * MASK
    rollouts = SimpleNamespace(response_mask=MASK, outcome_rewards=OUTCOME_REWARDS)
    found, alone = (
        rules_run.Credit(own, "exam").find_advantages(rollouts, rewards, STEPS)
        for own in ({"use": "none"}, {"source": None})
    )
    assert torch.equal(found, alone)
