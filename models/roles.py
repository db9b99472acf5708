"""The models of a run by role: loading, copying weights, offloading to host memory."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.utils import extract_model_from_parallel, set_seed
from torch import nn
from torch.optim import Optimizer
from transformers import PreTrainedModel

from checks.constants import list_roles
from checks.errors import advising_on_memory
from checks.prm_record import find_reference
from generation.siblings import takes_siblings
from models.adapters import add_adapters
from models.loading import load_model
from models.logprobs import ResponseLogprobs
from models.sharding import fill_empty, load_module, whole
from models.trainee import Trainee, linear_warmup, make_trainee, warmup_then_cosine
from models.values import ResponseValues, share_backbone
from models.waiting import wait_patiently

_HOST = torch.device("cpu")


@dataclass(frozen=True)
class Roles:
    """The models that are trained, their reference, and the model that generates."""

    policy: Trainee
    prm: Trainee | None  # None if nothing needs its rewards
    value: Trainee | None  # None unless VALUE is "head"
    reference: ResponseLogprobs | None  # None without a PRM, or with PRM_REFERENCE = "policy"
    kl_reference: ResponseLogprobs | None  # MODEL, for KL_COEF, where `reference` is not MODEL
    rollout_model: PreTrainedModel  # the policy's model, or a copy of it
    device: torch.device  # where models compute
    offloads_models: bool  # models wait in host memory in phases that do not need them
    offloads_optimizers: bool  # and so do optimizer states

    @property
    def trainees(self) -> list[Trainee]:
        return [trainee for trainee in (self.policy, self.prm, self.value) if trainee]

    def on_device(self, *parts: nn.Module | Optimizer | None) -> AbstractContextManager:
        """Hold parts on the device in this context. Offload them after it, if the run offloads."""
        models = [p for p in parts if self.offloads_models and isinstance(p, nn.Module)]
        optimizers = [p for p in parts if self.offloads_optimizers and isinstance(p, Optimizer)]
        return on_device(self.device, models, optimizers)

    def refresh_rollout_model(self) -> None:
        """Copy the policy's weights to the rollout model, unless that is the policy's own model."""
        policy = extract_model_from_parallel(self.policy.module).model
        if self.rollout_model is not policy:
            copy_weights(policy, self.rollout_model)


@advising_on_memory(
    "Out of memory while the models are loaded. python train_prime.py --estimate shows their sizes."
)
def load_roles(accelerator: Accelerator, constants: dict) -> Roles:
    """Load the models that the constants of train_prime.py ask for, one after the other."""
    c = constants
    home = _HOST if c["OFFLOAD_MODELS"] else accelerator.device
    shared = _load_shared(accelerator, c) if c["LORA_RANK"] else None

    def load(model: str, adapter: str | None) -> ResponseLogprobs:
        if shared:
            return ResponseLogprobs(shared, adapter)
        return load_module(accelerator, model, c["SHARD"], c["GRADIENT_CHECKPOINTING"])

    def prepare(name: str, module: ResponseLogprobs) -> Trainee:
        trainee = make_trainee(
            accelerator,
            name,
            module,
            rate=c[f"{name.upper()}_LR"],
            schedule=choose_schedule(name, c),
            weight_decay=c["WEIGHT_DECAY"],
            gradient_clip=c[f"{name.upper()}_GRADIENT_CLIP"],
        )
        trainee.module.to(home)
        return trainee

    policy = prepare("policy", load(c["MODEL"], "policy"))
    rollout_model = accelerator.unwrap_model(policy.module).model
    if c["SHARD"] or (c["ROLLOUT_DTYPE"] != "float32" and not shared):
        source, dtype = rollout_model, getattr(torch, c["ROLLOUT_DTYPE"])
        rollout_model = load_model(c["MODEL"], dtype=dtype, empty=True).requires_grad_(False)
        fill_empty(rollout_model, home)
        rollout_model.tie_weights()  # fill_empty separated tied weights
        copy_weights(source, rollout_model)
    trained = list_roles(c)
    prm = reference = kl_reference = None
    if "prm" in trained:
        prm = prepare("PRM", load(c["PRM_MODEL"] or c["MODEL"], "prm"))
    if start := find_reference(c):
        reference = load(start, None).to(home)
    if c["KL_COEF"] and start != c["MODEL"]:
        kl_reference = load(c["MODEL"], None).to(home)
    value = prepare("value", _load_value(accelerator, c, shared)) if "value" in trained else None
    return Roles(
        policy=policy,
        prm=prm,
        value=value,
        reference=reference,
        kl_reference=kl_reference,
        rollout_model=rollout_model,
        device=accelerator.device,
        offloads_models=c["OFFLOAD_MODELS"],
        offloads_optimizers=c["OFFLOAD_OPTIMIZERS"],
    )


def choose_schedule(name: str, constants: dict) -> Callable[[int], float]:
    """Return the schedule of a trainee's rate, a function of its optimizer steps so far."""
    c, warmup_steps = constants, constants[f"{name.upper()}_WARMUP_STEPS"]
    if name == "policy" and c["POLICY_SCHEDULE"] == "cosine":
        trained = c["NUM_ITERATIONS"] - c["VALUE_WARMUP_ITERATIONS"]  # iterations
        return warmup_then_cosine(warmup_steps, trained * c["OPTIMIZER_STEPS"])
    return linear_warmup(warmup_steps)


def _load_shared(accelerator: Accelerator, constants: dict) -> PreTrainedModel:
    """Return the frozen model that all roles share, with an adapter for each trained role."""
    c = constants
    dtype = getattr(torch, c["ROLLOUT_DTYPE"])
    model = load_model(c["MODEL"], c["GRADIENT_CHECKPOINTING"], dtype)
    wait_patiently(accelerator)
    set_seed(c["SEED"])  # adapters start with random weights
    add_adapters(model, list_roles(c), c["LORA_RANK"], c["LORA_ALPHA"])
    return model


def _load_value(
    accelerator: Accelerator, constants: dict, shared: PreTrainedModel | None
) -> ResponseValues:
    """Return the value model.

    Args:
        shared: the frozen model that all roles share, None if each has its own.
    """
    c = constants
    set_seed(c["SEED"])  # its head starts with random weights
    if shared:
        return ResponseValues(share_backbone(shared, c["MODEL"]), "value")
    settings = c["MODEL"], c["SHARD"], c["GRADIENT_CHECKPOINTING"]
    return load_module(accelerator, *settings, for_values=True)


def count_siblings(accelerator: Accelerator, constants: dict, roles: Roles) -> int:
    """Return how many responses to a prompt may be computed as one row: K, or 1 if a model cannot.

    With SHARD only the rollout model is tried, which is whole. It counts for all if all are alike.

    Args:
        constants: of train_prime.py.
    """
    positions = constants["MAX_PROMPT_TOKENS"] + constants["MAX_RESPONSE_TOKENS"]
    # A value model has the policy's backbone, so it is not tried.
    modules = [t.module for t in roles.trainees if t is not roles.value]
    modules += [roles.reference, roles.kl_reference]
    models = [accelerator.unwrap_model(module).model for module in modules if module]
    if constants["SHARD"]:
        alike = len({type(model) for model in models}) == 1
        models = [roles.rollout_model]
    else:
        alike = True
    can = alike and all(takes_siblings(model, positions) for model in models)
    return constants["SAMPLES_PER_PROMPT"] if can else 1


@torch.no_grad()
def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Overwrite target's weights, in place, with those of source, of the same architecture.

    A sharded source is gathered one tensor at a time, in the precision of target.
    """
    values = [*source.parameters(), *source.buffers()]
    for own, new in zip([*target.parameters(), *target.buffers()], values, strict=True):
        own.copy_(whole(new.to(own.dtype)))


@contextmanager
def on_device(
    device: torch.device, models: Sequence[nn.Module], optimizers: Sequence[Optimizer]
) -> Iterator[None]:
    """Hold models and optimizer states on a device in this context, in host memory after it."""
    _move(device, models, optimizers)
    yield
    _move(_HOST, models, optimizers)


def _move(
    device: torch.device, models: Sequence[nn.Module], optimizers: Sequence[Optimizer]
) -> None:
    """Move weights and optimizer states to a device.

    Parameters remain the same objects, because optimizers refer to them. From a GPU, non-blocking
    copies go to pinned host memory: from there and back, they run at the full speed of the bus.
    A sharded model pads its parts at once, so it must wait for their copies.
    """
    for model in models:
        model.to(device, non_blocking=not getattr(model, "is_sharded", False))
    for optimizer in optimizers:
        for state in optimizer.state.values():
            for name, value in state.items():
                state[name] = value.to(device, non_blocking=True)
    if device == _HOST and torch.cuda.is_available():
        torch.cuda.synchronize()  # before that, the copies are not in host memory yet
