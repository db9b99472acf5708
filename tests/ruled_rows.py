"""Responses in steps, for the tests of the credit rules: two prompts, four responses each."""

import math

import torch

K, T, LENGTHS = 4, 6, [5, 3, 6, 1, 2, 6, 4, 4]
MASK = torch.tensor([[1.0] * n + [0.0] * (T - n) for n in LENGTHS])
OUTCOMES = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.5, 0.0])
STEPS = [[(0, 2), (2, 5)], [(0, 3)], [(0, 1), (1, 4), (4, 6)], [(0, 1)], [(0, 2)], [(0, 6)]]
STEPS += [[(0, 1), (1, 4)], [(0, 3), (3, 4)]]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))
