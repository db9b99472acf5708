"""Runs train_prime.py with an oracle for its PRM: it knows which steps are right.

A right step has the process reward 1, a wrong one -1; a line that states nothing has 0. The first
argument says where the reward goes. "result": all of it to the last token of the line that is not
blank (the number that makes an operation right or wrong; for a box the end of the response).
"spread": evenly to all tokens of the line. Constants follow, as for train_prime.py. claims.py
starts this script.
"""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import checks.openmp  # noqa: F401  # isort: skip  (before torch)
import torch
from torch import Tensor

import train_prime
from embedded import arithmetic
from generation.groups import Collected
from models.batches import Rollouts
from prm import prm_accuracy
from reporting.steps import (
    split_steps,
    token_texts,
)

learn = train_prime.learn
collected: list[Collected] = []


def keep(run: train_prime.Run, timer, iteration: int, own: Collected) -> dict:
    collected[:] = [own]
    return learn(run, timer, iteration, own)


def judge(place: str, run: train_prime.Run, rollouts: Rollouts, _) -> tuple[Tensor, None, dict]:
    """Replace update_prm(): return process rewards (B, T) by rule, no reference, the accuracy."""
    rewards = torch.zeros_like(rollouts.response_mask, dtype=torch.float32)
    row = 0
    for group in collected[0].kept:
        question = run.tokenizer.decode(group.prompt_ids).split("\n")[1]  # after the role
        for ids in group.response_ids:
            texts = token_texts(run.tokenizer, ids)
            steps = split_steps(texts)
            lines = ["".join(texts[start:end]) for start, end in steps]
            for (start, end), right in zip(steps, arithmetic.judge_steps(question, lines)):
                if right is not None:
                    tokens = range(start, end)
                    if place == "result":
                        tokens = [find_result(texts, start, end)]
                    rewards[row, list(tokens)] = (1 if right else -1) / len(tokens)
            row += 1
    mask, outcomes = rollouts.response_mask, rollouts.outcome_rewards
    accuracy = prm_accuracy(rewards, outcomes, mask, train_prime.SAMPLES_PER_PROMPT)
    return rewards, None, {"prm_accuracy": accuracy}


def find_result(texts: list[str], start: int, end: int) -> int:
    """Return the last token of a line that is not blank: the number that makes it right or not."""
    return max(token for token in range(start, end) if texts[token].strip())


if __name__ == "__main__":
    place, *settings = sys.argv[1:]
    train_prime.learn, train_prime.update_prm = keep, partial(judge, place)
    train_prime.main(settings)
