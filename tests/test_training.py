"""Schedules, seeds, and what a process does when the rows run out."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from torch import nn

import training
from preflight import UserError
from rollout import Rollouts, pad_rows


def test_schedules():
    warmup = training.linear_warmup(4)
    assert [warmup(step) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    assert training.linear_warmup(0)(0) == 1.0
    cosine = training.warmup_then_cosine(2, 12)
    assert cosine(0) == pytest.approx(1 / 3) and cosine(2) == 1.0
    assert cosine(7) == pytest.approx(0.5) and cosine(12) == pytest.approx(0.0)


def test_seeds_differ_by_run_iteration_and_process():
    seeds = {training.derive_seed(s, i, p) for s in range(4) for i in range(50) for p in range(4)}
    assert len(seeds) == 4 * 50 * 4
    assert training.derive_seed(1, 2, 3) == training.derive_seed(1, 2, 3)


def make_batch(response_lengths: list[int], prompt_length: int = 1) -> Rollouts:
    prompts = [[1] * prompt_length for _ in response_lengths]
    responses = [[5] * length for length in response_lengths]
    return pad_rows(prompts, responses, [0.0] * len(responses), 0, torch.device("cpu"))


def test_a_process_without_rows_gets_one_with_nothing_to_learn_from():
    batch = make_batch([1, 2, 1])
    trainee = SimpleNamespace(name="model", module=nn.Linear(1, 1))
    plans = {}
    for index in range(2):
        accelerator = SimpleNamespace(
            process_index=index,
            num_processes=2,
            is_main_process=False,
            no_sync=lambda _: torch.enable_grad(),
        )
        plans[index] = list(training.micro_batches(accelerator, trainee, batch, [0, 1, 2], 3))
    assert [rows for rows, *_ in plans[0]] == [[1], [2]]  # the longest first
    assert [rows for rows, *_ in plans[1]] == [[0], [0]]
    shares = [share for plan in plans.values() for _, _, share, _ in plan]
    assert shares == pytest.approx([2 / 3, 2 / 3, 2 / 3, 0.0])  # 1 of 3 rows, for 2 processes
    assert plans[1][1][1].response_mask.sum() == 0


def make_trainee(gradient: float) -> training.Trainee:
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(3.0)
    module.weight.grad = torch.full((1, 1), gradient)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    return training.Trainee("policy", module, optimizer, scheduler, gradient_clip=2.0)


def test_a_step_clips_the_gradient_and_clears_it():
    trainee = make_trainee(8.0)
    assert training.take_step(Accelerator(cpu=True), trainee) == 8.0
    assert trainee.module.weight.item() == pytest.approx(3.0 - 0.5 * 2.0)
    assert trainee.module.weight.grad is None


def test_a_gradient_that_is_not_finite_stops_the_run_before_the_step():
    trainee = make_trainee(float("nan"))
    with pytest.raises(UserError, match="gradient of the policy is nan: the step was not taken"):
        training.take_step(Accelerator(cpu=True), trainee)
    assert trainee.module.weight.item() == 3.0


def test_rows_are_split_by_prompt_into_steps():
    assert training.split_rows(8, 2, 2) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert training.split_rows(6, 2, 2) == [[0, 1], [2, 3, 4, 5]]  # a batch that was not filled
    assert training.split_rows(2, 2, 4) == [[0, 1]]


@pytest.mark.parametrize("num_processes", [1, 2, 3])
def test_micro_batches_share_out_every_row_once_and_equally_many(num_processes):
    batch = make_batch([1, 9, 3, 4, 9, 1, 1, 30, 2, 2, 5], prompt_length=2)
    rows = list(range(1, 11))
    plans = [
        training.plan_micro_batches(batch, rows, 24, index, num_processes)
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


def test_siblings_go_together_where_they_make_a_short_row(monkeypatch):
    monkeypatch.setattr(training, "_LONGEST_SHARED", 12)
    batch = make_batch([1, 1, 9, 9, 4, 6, 2, 3], prompt_length=2)  # rows of 4, 20, 12, 7 tokens
    batch = replace(batch, siblings=2)
    plan = partial(training.plan_micro_batches, batch)
    assert plan(range(8), 24, 0, 1) == [([4, 5, 6, 7], 2), ([0, 1], 2), ([2, 3], 1)]
    assert plan(range(8), 24, 0, 2) == [([4, 5, 0, 1], 2), ([2], 1)]
    assert plan(range(8), 24, 1, 2) == [([6, 7], 2), ([3], 1)]
    assert plan(range(4, 8), 11, 0, 1) == [([6, 7], 2), ([5], 1), ([4], 1)]
