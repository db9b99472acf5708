"""Optimizer steps: passes over micro-batches, gradient clipping, the step; log-probabilities.

Shapes: B rows, T response tokens; b rows and t tokens of a micro-batch.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from checks.errors import UserError
from models import sharding
from models.batches import Rollouts, select_rows, send
from models.trainee import Trainee
from reporting.progress import show_progress
from training.micro_batches import plan_micro_batches


def micro_batches(
    accelerator: Accelerator,
    trainee: Trainee,
    rollouts: Rollouts,
    rows: Sequence[int],
    micro_batch_tokens: int,
) -> Iterator[tuple[Tensor, Rollouts, float, AbstractContextManager]]:
    """Yield this process's share of one optimizer step's rows, a micro-batch at a time.

    Rows of like length go together, the longest first: siblings in one row, then rows of their own.
    Every process gets equally many micro-batches. If its rows run out, it gets a row with an empty
    response mask, which teaches nothing.

    Yields:
        index: (b,) which rows of the batch.
        micro: those rows, without columns of padding alone.
        weight: rows here / rows of the step x number of processes, by which a mean loss over these
            rows is multiplied. Data-parallel training divides gradients by the processes again.
        synchronise: context for the pass: only the last micro-batch exchanges gradients.
    """
    trainee.module.train()
    plan = plan_micro_batches(
        rollouts,
        rows,
        micro_batch_tokens,
        find_token_cost(accelerator, trainee.module),
        accelerator.process_index,
        accelerator.num_processes,
    )
    bar = show_progress(accelerator, plan, desc=f"train {trainee.name}")
    for number, (micro_rows, siblings) in enumerate(bar):
        chosen = micro_rows or rows[:1]
        index = send(chosen, rollouts.input_ids.device)
        micro = select_rows(rollouts, chosen, siblings)
        if not micro_rows:
            nothing = torch.zeros_like(micro.response_mask)
            micro = replace(micro, response_mask=nothing, loss_mask=nothing)
        weight = len(micro_rows) / len(rows) * accelerator.num_processes
        is_last = number + 1 == len(plan)
        synchronise = nullcontext() if is_last else accelerator.no_sync(trainee.module)
        yield index, micro, weight, synchronise


def find_token_cost(accelerator: Accelerator, module: nn.Module) -> float:
    """Return the token_cost of plan_micro_batches() for the model in a ResponseLogprobs.

    It is the model's hidden width; infinite where no attention is computed in vain.
    """
    module = accelerator.unwrap_model(module)
    with accelerator.autocast():
        if module.packs_flat():
            return math.inf
    return module.model.config.get_text_config().hidden_size


def take_step(trainee: Trainee) -> float:
    """Clip the gradient, take the step, clear the gradient. Return its norm before clipping.

    Raises:
        UserError: the norm is not finite. The weights are untouched.
    """
    parameters = trainee.module.parameters()
    # The norm of a sharded model is a DTensor: each process holds a part of it.
    norm = float(sharding.whole(clip_grad_norm_(parameters, trainee.gradient_clip)))
    if not math.isfinite(norm):
        raise UserError(
            f"The gradient of the {trainee.name} is {norm}: the step was not taken, and the models "
            "that were saved last are sound. Start a new run from them (MODEL = the policy's "
            "folder) with a lower learning rate, or check the data for unusual rows."
        )
    trainee.optimizer.step()
    trainee.scheduler.step()
    trainee.optimizer.zero_grad()
    return norm


def describe_norms(trainee: Trainee, norms: Sequence[float]) -> dict[str, float]:
    """Return an iteration's largest gradient norm, and the share of its steps that were clipped.

    Args:
        norms: before clipping, one per step.
    """
    role, clip = trainee.name.lower(), trainee.gradient_clip
    clipped = sum(norm > clip for norm in norms) / max(1, len(norms))
    largest = max(norms, default=0.0)
    return {f"{role}_gradient_norm": largest, f"{role}_clipped_steps": clipped}


def compute_logprobs(
    accelerator: Accelerator,
    module: nn.Module,
    rollouts: Rollouts,
    temperature: float,
    micro_batch_tokens: int,
) -> Tensor:
    """Return log-probabilities (B, T) of the responses, without gradient, 0 at padding."""
    module = accelerator.unwrap_model(module)
    return _compute(
        accelerator,
        module,
        rollouts,
        micro_batch_tokens,
        lambda micro: module(*micro.model_inputs(), temperature)[0],
    )


def compute_values(
    accelerator: Accelerator, module: nn.Module, rollouts: Rollouts, micro_batch_tokens: int
) -> Tensor:
    """Return values V(y_<t) (B, T) of a value model, without gradient, 0 at padding."""
    module = accelerator.unwrap_model(module)
    return _compute(
        accelerator,
        module,
        rollouts,
        micro_batch_tokens,
        lambda micro: module(*micro.model_inputs()),
    )


@torch.no_grad()
def _compute(
    accelerator: Accelerator,
    module: nn.Module,
    rollouts: Rollouts,
    micro_batch_tokens: int,
    forward: Callable[[Rollouts], Tensor],
) -> Tensor:
    """Return what forward() gives for each response token, (B, T), each process doing its share."""
    computed = torch.zeros_like(rollouts.response_mask, dtype=torch.float32)  # (B, T)
    plan = plan_micro_batches(
        rollouts,
        range(len(computed)),
        micro_batch_tokens,
        find_token_cost(accelerator, module),
        accelerator.process_index,
        accelerator.num_processes,
    )
    for micro_rows, siblings in plan:
        micro = select_rows(rollouts, micro_rows or [0], siblings)
        with accelerator.autocast():  # even without rows: a sharded model needs all processes
            values = forward(micro)  # (b, t)
        if micro_rows:
            computed[send(micro_rows, computed.device), : micro.response_length] = values
    return accelerator.reduce(computed)  # a sum: every row is 0 on all processes but one
