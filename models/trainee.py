"""Trainee: a model in training, with its optimizer, learning-rate schedule and gradient clip."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from models.logprobs import ResponseLogprobs


@dataclass(frozen=True)
class Trainee:
    """A model in training, with the optimizer and the schedule that step it."""

    name: str  # "policy", "PRM", "value"; "model" in sft.py
    module: nn.Module  # ResponseLogprobs, as accelerate prepared it
    optimizer: torch.optim.Optimizer
    scheduler: LambdaLR
    gradient_clip: float  # largest gradient norm


def make_trainee(
    accelerator: Accelerator,
    name: str,
    module: ResponseLogprobs,
    *,
    rate: float,
    schedule: Callable[[int], float],
    weight_decay: float,
    gradient_clip: float,
) -> Trainee:
    """Return a model with its AdamW optimizer, of rate * schedule(optimizer steps taken).

    A model that is not sharded trains data-parallel: every process holds the whole model.
    """
    module.activate()  # in a shared model, only this role's adapter then requires gradients
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=weight_decay, fused=True)
    scheduler = LambdaLR(optimizer, schedule)
    # In evaluation mode, accelerate adds no data-parallel wrapper.
    prepared = accelerator.prepare_model(module, evaluation_mode=module.is_sharded)
    return Trainee(name, prepared, optimizer, scheduler, gradient_clip)


def linear_warmup(steps: int) -> Callable[[int], float]:
    """Return a schedule that rises to 1 over so many steps and stays at 1."""
    return lambda taken: min(1.0, (taken + 1) / (steps + 1))


def warmup_then_cosine(warmup_steps: int, all_steps: int) -> Callable[[int], float]:
    """Return a schedule that rises to 1 over warmup_steps and falls to 0 along a cosine."""
    rise = linear_warmup(warmup_steps)

    def schedule(taken: int) -> float:
        if taken < warmup_steps:
            return rise(taken)
        progress = (taken - warmup_steps) / max(1, all_steps - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * progress))

    return schedule
