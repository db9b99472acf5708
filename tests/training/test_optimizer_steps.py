"""An optimizer step, and what a process does when the rows run out."""

import contextlib
from types import SimpleNamespace

import pytest
import torch
from tiny_models import make_model
from torch import nn

from checks.errors import UserError
from models.batches import pad_rows
from models.logprobs import ResponseLogprobs
from models.trainee import Trainee
from training import optimizer_steps


def test_a_process_without_rows_gets_one_with_nothing_to_learn_from():
    batch = pad_rows([[1]] * 3, [[5], [5, 5], [5]], [0.0] * 3, 0, torch.device("cpu"))
    module = ResponseLogprobs(make_model("llama"))
    trainee = SimpleNamespace(name="model", module=module)
    plans = {}
    for index in range(2):
        accelerator = SimpleNamespace(
            process_index=index,
            num_processes=2,
            is_main_process=False,
            no_sync=lambda _: torch.enable_grad(),
            autocast=contextlib.nullcontext,
            unwrap_model=lambda module: module,
        )
        plans[index] = list(
            optimizer_steps.micro_batches(accelerator, trainee, batch, [0, 1, 2], 3)
        )
    assert [rows.tolist() for rows, *_ in plans[0]] == [[1], [2]]  # the longest first
    assert [rows.tolist() for rows, *_ in plans[1]] == [[0], [0]]
    shares = [share for plan in plans.values() for _, _, share, _ in plan]
    assert shares == pytest.approx([2 / 3, 2 / 3, 2 / 3, 0.0])  # 1 of 3 rows, for 2 processes
    assert plans[1][1][1].response_mask.sum() == plans[1][1][1].loss_mask.sum() == 0


def make_trainee(gradient: float) -> Trainee:
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(3.0)
    module.weight.grad = torch.full((1, 1), gradient)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    return Trainee("policy", module, optimizer, scheduler, gradient_clip=2.0)


def test_a_step_clips_the_gradient_and_clears_it():
    trainee = make_trainee(8.0)
    assert optimizer_steps.take_step(trainee) == 8.0
    assert trainee.module.weight.item() == pytest.approx(3.0 - 0.5 * 2.0)
    assert trainee.module.weight.grad is None


def test_a_gradient_that_is_not_finite_stops_the_run_before_the_step():
    trainee = make_trainee(float("nan"))
    with pytest.raises(UserError, match="gradient of the policy is nan: the step was not taken"):
        optimizer_steps.take_step(trainee)
    assert trainee.module.weight.item() == 3.0


def test_the_share_of_clipped_steps_and_the_largest_norm():
    trainee = SimpleNamespace(name="PRM", gradient_clip=1.0)
    described = optimizer_steps.describe_norms(trainee, [0.5, 3.0, 2.0, 1.0])
    assert described == {"prm_gradient_norm": 3.0, "prm_clipped_steps": 0.5}
    assert optimizer_steps.describe_norms(trainee, []) == {
        "prm_gradient_norm": 0.0,
        "prm_clipped_steps": 0.0,
    }
