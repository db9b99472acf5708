"""The models of a run by role, and where they are: on the device, or waiting in host memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim import Optimizer
from transformers import PreTrainedModel

import training
from policy import ResponseLogprobs, load_model
from siblings import takes_siblings
from training import Trainee

_HOST = torch.device("cpu")


def load_models(
    accelerator: Accelerator, constants: dict
) -> tuple[Trainee, Trainee | None, ResponseLogprobs | None, PreTrainedModel]:
    """Return policy, PRM, reference (both where the constants ask for them) and what generates.

    Args:
        constants: of train_prime.py.
    """
    c = constants
    home = _HOST if c["OFFLOAD_MODELS"] else accelerator.device
    policy = _load_trainee(accelerator, c, "policy", c["MODEL"], home)
    rollout_model = accelerator.unwrap_model(policy.module).model
    if c["ROLLOUT_DTYPE"] != "float32":
        rollout_model = load_model(c["MODEL"], dtype=getattr(torch, c["ROLLOUT_DTYPE"]))
        rollout_model.requires_grad_(False).to(home)
    if c["PROCESS_COEF"] == 0:
        return policy, None, None, rollout_model
    prm = _load_trainee(accelerator, c, "PRM", c["PRM_MODEL"] or c["MODEL"], home)
    accelerator.unwrap_model(prm.module).model.config.implicit_prm = {  # read by scoring.py
        "reference": c["MODEL"] if c["PRM_REFERENCE"] == "sft" else None,
        "beta": c["BETA"],
        "temperature": c["TEMPERATURE"],
    }
    if c["PRM_REFERENCE"] == "policy":
        return policy, prm, None, rollout_model
    reference = ResponseLogprobs(load_model(c["MODEL"])).requires_grad_(False)
    return policy, prm, reference.to(home), rollout_model


def _load_trainee(
    accelerator: Accelerator, constants: dict, name: str, model: str, home: torch.device
) -> Trainee:
    prefix = name.upper()
    trainee = training.make_trainee(
        accelerator,
        name,
        load_model(model, constants["GRADIENT_CHECKPOINTING"]),
        rate=constants[f"{prefix}_LR"],
        schedule=training.linear_warmup(constants[f"{prefix}_WARMUP_STEPS"]),
        weight_decay=constants["WEIGHT_DECAY"],
        gradient_clip=constants[f"{prefix}_GRADIENT_CLIP"],
    )
    trainee.module.to(home)
    return trainee


def count_siblings(
    accelerator: Accelerator, constants: dict, *models: Trainee | ResponseLogprobs | None
) -> int:
    """Return how many responses to a prompt may be computed as one row: K, or 1 if a model cannot.

    Args:
        constants: of train_prime.py.
    """
    positions = constants["MAX_PROMPT_TOKENS"] + constants["MAX_RESPONSE_TOKENS"]
    modules = [getattr(model, "module", model) for model in models if model is not None]
    can = [takes_siblings(accelerator.unwrap_model(m).model, positions) for m in modules]
    return constants["SAMPLES_PER_PROMPT"] if all(can) else 1


@torch.no_grad()
def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Overwrite the parameters of target by those of source, of the same architecture, in place."""
    for own, new in zip(target.parameters(), source.parameters(), strict=True):
        own.copy_(new)


@contextmanager
def on_device(
    device: torch.device, models: Sequence[nn.Module], optimizers: Sequence[Optimizer]
) -> Iterator[None]:
    """Have models and optimizer states on a device within, and in host memory after."""
    _move(device, models, optimizers)
    yield
    _move(_HOST, models, optimizers)


def _move(
    device: torch.device, models: Sequence[nn.Module], optimizers: Sequence[Optimizer]
) -> None:
    """Move weights and optimizer states to a device; parameters remain the same objects."""
    for model in models:
        model.to(device)
    for optimizer in optimizers:
        for state in optimizer.state.values():
            state.update({name: value.to(device) for name, value in state.items()})
