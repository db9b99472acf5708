"""Rows of steps and micro-batches: every row once, within the budget, siblings where it pays."""

import functools
from dataclasses import replace

import pytest
import torch

from models.batches import Rollouts, pad_rows
from models.packing import pays_together
from training import micro_batches


def make_batch(response_lengths: list[int], prompt_length: int = 1) -> Rollouts:
    prompts = [[1] * prompt_length for _ in response_lengths]
    responses = [[5] * length for length in response_lengths]
    return pad_rows(prompts, responses, [0.0] * len(responses), 0, torch.device("cpu"))


def test_rows_are_split_by_prompt_into_steps():
    assert micro_batches.split_rows(8, 2, 2) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert micro_batches.split_rows(6, 2, 2) == [
        [0, 1],
        [2, 3, 4, 5],
    ]  # a batch that was not filled
    assert micro_batches.split_rows(2, 2, 4) == [[0, 1]]


@pytest.mark.parametrize("num_processes", [1, 2, 3])
def test_micro_batches_share_out_every_row_once_and_equally_many(num_processes):
    batch = make_batch([1, 9, 3, 4, 9, 1, 1, 30, 2, 2, 5], prompt_length=2)
    rows = list(range(1, 11))
    plans = [
        micro_batches.plan_micro_batches(batch, rows, 24, 32, index, num_processes)
        for index in range(num_processes)
    ]
    assert len({len(plan) for plan in plans}) == 1
    assert sorted(row for plan in plans for micro, _ in plan for row in micro) == rows
    assert plans[0][0] == ([7], 1)  # 32 tokens: more than there is room for, hence alone
    responses = batch.response_mask.sum(dim=1)
    for micro in [micro for plan in plans for micro, _ in plan if micro not in ([], [7])]:
        assert len(micro) * (2 + responses[micro].max()) <= 24
    if num_processes == 1:
        assert plans[0] == [([7], 1), ([1, 4], 1), ([10, 3, 2], 1), ([8, 9, 5, 6], 1)]


def test_siblings_go_together_where_that_costs_less():
    batch = make_batch([1, 1, 9, 9, 4, 6, 2, 3], prompt_length=2)  # 4, 20, 12, 7 tokens in one row
    plan = functools.partial(micro_batches.plan_micro_batches, replace(batch, siblings=2))
    # attention in vain, less what it saves: 4^2 - 2 x 3^2 < 0, 158, 44 and 8; each saves 2 tokens
    assert plan(range(8), 24, 20, 0, 1) == [([4, 5, 6, 7], 2), ([0, 1], 2), ([2, 3], 1)]
    assert plan(range(8), 24, 20, 0, 2) == [([4, 5, 0, 1], 2), ([2], 1)]
    assert plan(range(8), 24, 20, 1, 2) == [([6, 7], 2), ([3], 1)]
    assert plan(range(4, 8), 11, 20, 0, 1) == [([6, 7], 2), ([5], 1), ([4], 1)]  # 12 do not fit
    alone = [([2, 3], 1), ([5, 4, 7], 1), ([6], 1)]
    assert plan(range(8), 24, 1, 0, 1) == [([0, 1], 2), *alone]


def test_what_pays_together():
    pays = pays_together
    assert pays(44, [40] * 4, 96) and not pays(44, [160] * 4, 96)
    assert pays(300, [700] * 4, 3584) and not pays(300, [3072] * 4, 3584)
    assert not pays(44, [40], 96)  # nothing to share
