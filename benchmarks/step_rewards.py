"""Rewards of steps and of tokens, for rules_run.py.

Texts are the texts of a response's tokens. Steps are its (first token, token after the last).
"""

import re

import credit
import numpy as np
import rules
import torch
from claims_run import find_result
from torch import Tensor


def place(values, texts, steps, like: Tensor) -> Tensor:
    """Return rewards (B, T) at the last token of each step that is not blank: a number, or of a
    verdict 1 or -1. A step of value None has none.
    """
    rewards = torch.zeros_like(like)
    for row, (own, spans) in enumerate(zip(values, steps)):
        for (start, end), value in zip(spans, own):
            if value is not None:
                if isinstance(value, bool):
                    value = 1.0 if value else -1.0
                rewards[row, find_result(texts[row], start, end)] = value
    return rewards


def read_lines(texts: list[str], steps) -> list[str]:
    """Return the text of each step, without special tokens and white space."""
    return [re.sub(r"<\|\w+\|>|\s", "", "".join(texts[start:end])) for start, end in steps]


def measure_steps(verdicts, steps, rewards: Tensor | None) -> dict:
    """Return the share of right steps. If there are rewards, also return how well they tell right
    steps from wrong ones: credit.py's two measures.
    """
    every = [right for row in verdicts for right in row if right is not None]
    measures = {"step_accuracy": float(np.mean(every)) if every else None}
    if rewards is None:
        return measures
    sums = rules.sum_steps(rewards, steps)
    judged = [
        [(float(reward), right) for reward, right in zip(own, row) if right is not None]
        for own, row in zip(sums, verdicts)
    ]
    located = [row for row in judged if len(row) > 1 and not all(right for _, right in row)]
    found = [credit.find_lowest(row) == credit.find_first_wrong(row) for row in located]
    measures["step_auc"] = credit.auc([judged]) if 0 < sum(every) < len(every) else None
    measures["first_wrong_found"] = float(np.mean(found)) if found else None
    return measures
