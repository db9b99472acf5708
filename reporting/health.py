"""Warnings of a run: what its metrics say is going wrong, and the constant to change.

No sound run of the embedded task reaches a bound. docs/reports.md has the figures of sound and of
spoilt ones.
"""

from collections.abc import Callable, Sequence

_FEW = 5  # iterations whose mean is compared with a bound: one alone says little
_MANY = 10  # the same, where the iterations of a sound run differ more
_ENTROPY = 0.1  # share of the entropy at the start
_KEPT = 0.1  # share of the prompts that pass the filter
_TRUNCATED = 0.2  # share of the responses
_PRM_ACCURACY = 0.53  # chance is 0.5
_CLIPPED = 0.9  # share of the optimizer steps
_TIMEOUTS = 0.01  # share of the responses
_SAMPLER_KL = 1e-3  # nats a token; sound runs have 2.7e-4 at the most

Values = list[tuple[int, float]]  # of a metric: iteration and value


def find_warnings(metrics: Sequence[dict], constants: dict) -> list[str]:
    """Return the warnings of a run, oldest first.

    A warning names the first iteration that shows its fault, so it stays the same from then on.

    Args:
        metrics: the lines of metrics.jsonl so far. What a line lacks, or has as null, is left out.
        constants: of train_prime.py.
    """
    checks = (_check_sampling, _check_policy, _check_prm, _check_clipping)
    found = [own for check in checks for own in check(metrics, constants) if own[0] is not None]
    return [f"iteration {iteration}: {text}" for iteration, text in sorted(found)]


def _check_sampling(metrics: Sequence[dict], constants: dict) -> list[tuple[int | None, str]]:
    kept, truncated = (_read(metrics, name) for name in ("kept_fraction", "truncated_fraction"))
    return [
        (
            _find_first(kept, _FEW, lambda mean: mean < _KEPT),
            "fewer than one prompt in ten passes the filter, so most responses are sampled in "
            "vain. Raise SAMPLES_PER_PROMPT, or set TRAIN_DATA to prompts that the model solves "
            "sometimes.",
        ),
        (
            _find_first(truncated, _FEW, lambda mean: mean > _TRUNCATED),
            "more than one response in five is cut off before it ends. Raise "
            f"MAX_RESPONSE_TOKENS, now {constants['MAX_RESPONSE_TOKENS']}.",
        ),
        (
            _find_first(_read_timeouts(metrics), _FEW, lambda mean: mean > _TIMEOUTS),
            "the verifier runs out of time for more than one response in a hundred, which then "
            f"gets reward 0. Raise VERIFIER_TIMEOUT, now {constants['VERIFIER_TIMEOUT']} seconds.",
        ),
    ]


def _check_policy(metrics: Sequence[dict], constants: dict) -> list[tuple[int | None, str]]:
    known, age = _read(metrics, "entropy"), constants.get("MAX_SURPLUS_AGE")
    start = known[0][1] if known else 0.0
    return [
        (
            _find_first(known, _FEW, lambda mean: mean < _ENTROPY * start),
            f"the policy's entropy is below a tenth of its start, {start:.3g} nats, so that all "
            f"responses to a prompt become one. Lower POLICY_LR, now {constants['POLICY_LR']}.",
        ),
        (
            _find_first(_read(metrics, "sampler_kl"), _FEW, lambda mean: mean > _SAMPLER_KL),
            "the responses come from another policy than the one in training: ROLLOUT_DTYPE is "
            f"{constants.get('ROLLOUT_DTYPE')!r}, and surplus prompts may wait for MAX_SURPLUS_AGE "
            f'= {age} iterations. "float32" and 0 rule both out.',
        ),
    ]


def _check_prm(metrics: Sequence[dict], constants: dict) -> list[tuple[int | None, str]]:
    is_value = constants.get("VALUE") == "prm"
    if not constants["PROCESS_COEF"] and not is_value:
        return []
    warmup = -(-constants["PRM_WARMUP_STEPS"] // constants["PRM_OPTIMIZER_STEPS"])  # iterations
    first = warmup + constants.get("VALUE_WARMUP_ITERATIONS", 0)
    known = [own for own in _read(metrics, "prm_accuracy") if own[0] >= first]
    is_frozen = constants["PRM_UPDATE"] == "none"
    change = "PRM_MODEL" if is_frozen else f"PRM_LR, now {constants['PRM_LR']}"
    otherwise = "take another ADVANTAGE_ESTIMATOR" if is_value else "set PROCESS_COEF = 0"
    return [
        (
            _find_first(known, _MANY, lambda mean: mean < _PRM_ACCURACY),
            f"for {_MANY} iterations the PRM has told right responses from wrong ones no better "
            f"than chance, and its rewards count. Change {change}, or {otherwise}.",
        )
    ]


def _check_clipping(metrics: Sequence[dict], constants: dict) -> list[tuple[int | None, str]]:
    return [
        (
            _find_first(
                _read(metrics, f"{role.lower()}_clipped_steps"),
                _MANY,
                lambda mean: mean >= _CLIPPED,
            ),
            f"in nine of ten steps the gradient of the {role} is longer than "
            f"{role.upper()}_GRADIENT_CLIP, now {constants.get(f'{role.upper()}_GRADIENT_CLIP')}, "
            f"and is clipped. Raise it, or lower {role.upper()}_LR.",
        )
        for role in ("policy", "PRM", "value")
    ]


def _read(metrics: Sequence[dict], key: str) -> Values:
    """Return the known values of a metric."""
    known = [(line["iteration"], line.get(key)) for line in metrics]
    return [(iteration, value) for iteration, value in known if value is not None]


def _read_timeouts(metrics: Sequence[dict]) -> Values:
    """Return which share of each iteration's responses the verifier had no time for."""
    shares = []
    for line in metrics:
        verdicts = sum(n for key, n in line.items() if key.startswith("verdicts_"))
        if verdicts:
            shares.append((line["iteration"], line["verdicts_timeout"] / verdicts))
    return shares


def _find_first(known: Values, count: int, is_bad: Callable[[float], bool]) -> int | None:
    """Return the last iteration of the first `count` in a row whose mean is bad; None if none is.

    Iterations whose value is unknown are passed over.
    """
    for end in range(count, len(known) + 1):
        if is_bad(sum(value for _, value in known[end - count : end]) / count):
            return known[end - 1][0]
    return None
