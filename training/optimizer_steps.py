"""Passes over a batch, a micro-batch at a time, and the optimizer step at the end of one.

Shapes: B rows, T response tokens; b rows and t tokens of a micro-batch.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

import rollout
from checks.errors import UserError
from models import sharding
from models.trainee import Trainee
from rollout import Rollouts
from training.micro_batches import plan_micro_batches
from training.processes import show_progress


def micro_batches(
    accelerator: Accelerator,
    trainee: Trainee,
    rollouts: Rollouts,
    rows: Sequence[int],
    micro_batch_tokens: int,
) -> Iterator[tuple[list[int], Rollouts, float, AbstractContextManager]]:
    """Yield this process's share of one optimizer step's rows, a micro-batch at a time.

    Rows of like length go together, the longest first, so that memory is highest at the start.
    Every process gets equally many; where rows run out it gets a row with nothing to learn from.

    Yields:
        micro_rows: which rows of the batch.
        micro: those rows without superfluous padding.
        share: what a mean over micro's rows weighs in this step, times the number of processes (by
            which data-parallel gradients are divided).
        synchronise: to run the pass in; exchanges gradients in the last micro-batch alone.
    """
    trainee.module.train()
    plan = plan_micro_batches(
        rollouts,
        rows,
        micro_batch_tokens,
        find_hidden_size(accelerator, trainee.module),
        accelerator.process_index,
        accelerator.num_processes,
    )
    bar = show_progress(accelerator, plan, desc=f"train {trainee.name}")
    for number, (micro_rows, siblings) in enumerate(bar):
        micro = rollout.select_rows(rollouts, micro_rows or rows[:1], siblings)
        if not micro_rows:
            micro = replace(micro, response_mask=torch.zeros_like(micro.response_mask))
        share = len(micro_rows) / len(rows) * accelerator.num_processes
        is_last = number + 1 == len(plan)
        synchronise = nullcontext() if is_last else accelerator.no_sync(trainee.module)
        yield micro_rows or rows[:1], micro, share, synchronise


def find_hidden_size(accelerator: Accelerator, module: nn.Module) -> int:
    """Return the hidden width of the model in a ResponseLogprobs, wrapped or not."""
    return accelerator.unwrap_model(module).model.config.get_text_config().hidden_size


def take_step(trainee: Trainee) -> float:
    """Clip the gradient, step and clear it; return its norm before clipping.

    Raises:
        UserError: the norm is not finite; the weights are untouched.
    """
    parameters = trainee.module.parameters()
    norm = float(sharding.whole(clip_grad_norm_(parameters, trainee.gradient_clip)))
    if not math.isfinite(norm):
        raise UserError(
            f"The gradient of the {trainee.name} is {norm}: the step was not taken, and what was "
            "saved last is sound. Start a new run from it (MODEL = that folder) with a lower "
            "learning rate, or look for what is odd in the data."
        )
    trainee.optimizer.step()
    trainee.scheduler.step()
    trainee.optimizer.zero_grad()
    return norm


@torch.no_grad()
def compute_logprobs(
    accelerator: Accelerator,
    module: nn.Module,
    rollouts: Rollouts,
    temperature: float,
    micro_batch_tokens: int,
) -> Tensor:
    """Return log-probabilities (B, T) of the responses, 0 at padding, without gradient."""
    logprobs = torch.zeros_like(rollouts.response_mask, dtype=torch.float32)  # (B, T)
    module = accelerator.unwrap_model(module)
    plan = plan_micro_batches(
        rollouts,
        range(len(logprobs)),
        micro_batch_tokens,
        find_hidden_size(accelerator, module),
        accelerator.process_index,
        accelerator.num_processes,
    )
    for micro_rows, siblings in plan:
        micro = rollout.select_rows(rollouts, micro_rows or [0], siblings)
        with accelerator.autocast():  # where rows ran out too: a sharded model needs all processes
            values, _ = module(*micro.model_inputs(), temperature)  # (b, t)
        if micro_rows:
            logprobs[micro_rows, : micro.response_length] = values
    return accelerator.reduce(logprobs)
