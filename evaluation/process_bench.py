"""ProcessBench (arXiv 2412.06559): does a PRM find the first wrong step of a solution?

A row holds `problem`, `steps` (texts) and `label`: the number of the first wrong step, from 0 on,
or -1 where all steps are right. A rule names a step by the steps' rewards and a threshold, or -1.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np
from transformers import PreTrainedTokenizerBase

from checks.errors import UserError

_BETWEEN = "\n\n"  # of two steps: the solutions were split there


def is_process_bench(rows: Sequence[dict]) -> bool:
    """Return whether rows are solutions with steps, and not responses."""
    return "steps" in rows[0] and "response" not in rows[0]


def read_solutions(rows: Sequence[dict], constant: str) -> list[dict]:
    """Return the rows as score.py reads them: `prompt`, `response`, `solution_steps` and `label`.

    Raises:
        UserError: a row is incomplete (the message names it), or all are of one kind, so that there
            is no F1.
    """
    for number, row in enumerate(rows):
        fault = _find_fault(row)
        if fault:
            raise UserError(f"{constant}: row {number} {fault}")
    kinds = {row["label"] == -1 for row in rows}
    if len(kinds) == 1:
        has = "only right steps" if kinds == {True} else "a wrong step"
        raise UserError(
            f"{constant}: all {len(rows)} rows have {has}. F1 needs rows of both kinds."
        )
    return [
        {
            "prompt": row["problem"],
            "response": _BETWEEN.join(row["steps"]),
            "solution_steps": row["steps"],
            "label": row["label"],
        }
        for row in rows
    ]


def _find_fault(row: dict) -> str:
    problem, steps, label = (row.get(name) for name in ("problem", "steps", "label"))
    if not problem or not isinstance(problem, str):
        return "has no problem, or one that is not text."
    if not steps or not all(isinstance(step, str) and step.strip() for step in steps):
        return "has no steps, or one that is empty."
    if type(label) is not int or not -1 <= label < len(steps):
        return f"has the label {label!r}: use -1, or one of its {len(steps)} steps from 0 on."
    return ""


def find_steps(
    steps: Sequence[str], tokenizer: PreTrainedTokenizerBase, tokens: int
) -> list[tuple[int, int]]:
    """Return the steps of a solution as (first token, token after the last), without gaps.

    What stands between two steps belongs to the first of them, and an EOS to the last.

    Args:
        tokens: number of tokens of the solution, with EOS.
    """
    text = _BETWEEN.join(steps)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    starts = [start for start, _ in encoded["offset_mapping"]]
    begins = accumulate((len(step) + len(_BETWEEN) for step in steps[:-1]), initial=0)
    firsts = [bisect_left(starts, begin) for begin in begins]
    return list(zip(firsts, [*firsts[1:], tokens]))


def name_first(rewards: Sequence[float], threshold: float) -> int:
    """Return the first step whose reward is below the threshold, -1 if none is."""
    return next((step for step, reward in enumerate(rewards) if reward < threshold), -1)


def name_least(rewards: Sequence[float], threshold: float) -> int:
    """Return the step of the least reward if that is below the threshold, else -1."""
    least = min(rewards)
    return rewards.index(least) if least < threshold else -1


RULES: dict[str, Callable[[Sequence[float], float], int]] = {
    "first step": name_first,
    "least step": name_least,
}


def measure(named: Sequence[int], labels: Sequence[int]) -> tuple[float, float, float]:
    """Return the shares named right of rows with a wrong step and of right ones, and F1.

    F1 = 2 a b / (a + b), the harmonic mean of both shares; 0 if both are 0.
    """
    right = np.equal(named, labels)
    has_error = np.not_equal(labels, -1)
    a, b = float(right[has_error].mean()), float(right[~has_error].mean())
    return a, b, _compute_f1(a, b)


def _compute_f1(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0


def choose_threshold(
    rewards: Sequence[Sequence[float]], labels: Sequence[int], rule: str
) -> tuple[float, float]:
    """Return the threshold with the highest F1 on these rows, the lowest of several, and its F1.

    Only thresholds midway between two rewards are tried: others name the same steps as one of them.
    """
    low, high = np.transpose([_find_range(own, label, rule) for own, label in zip(rewards, labels)])
    has_error = np.not_equal(labels, -1)
    values = np.unique([reward for own in rewards for reward in own])
    values = np.concatenate((values[:1] - 1, values, values[-1:] + 1))
    best = (0.0, -1.0)
    for threshold in ((values[1:] + values[:-1]) / 2).tolist():
        right = (low < threshold) & (threshold <= high)
        f1 = _compute_f1(float(right[has_error].mean()), float(right[~has_error].mean()))
        if f1 > best[1]:
            best = (threshold, f1)
    return best


def _find_range(rewards: Sequence[float], label: int, rule: str) -> tuple[float, float]:
    """Return (low, high): the rule names the label where low < threshold <= high."""
    if label == -1:
        return -math.inf, min(rewards)
    if rule == "first step":
        return rewards[label], min(rewards[:label], default=math.inf)
    is_least = rewards.index(min(rewards)) == label
    return (rewards[label], math.inf) if is_least else (math.inf, -math.inf)


def describe(
    rewards: Sequence[Sequence[float]], labels: Sequence[int], threshold: float
) -> list[str]:
    """Return how well both rules find the first wrong step, a line for each."""
    lines = []
    for rule, name in RULES.items():
        wrong, right, f1 = measure([name(own, threshold) for own in rewards], labels)
        best, best_f1 = choose_threshold(rewards, labels, rule)
        lines.append(
            f"{rule} below {threshold:g}: {100 * wrong:.1f} % of solutions with a wrong step, "
            f"{100 * right:.1f} % of right ones, F1 {100 * f1:.1f}; "
            f"best threshold here {best:.6g}, F1 {100 * best_f1:.1f}"
        )
    return lines
