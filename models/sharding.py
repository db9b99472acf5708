"""Models for training, whole or split over processes, layer by layer, by PyTorch's FSDP2."""

import torch
from accelerate import Accelerator
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from models.loading import check_tied, load_model
from models.logprobs import ResponseLogprobs
from models.values import ResponseValues
from models.waiting import wait_patiently


def load_module(
    accelerator: Accelerator,
    model: str,
    is_sharded: bool,
    gradient_checkpointing: bool,
    for_values: bool = False,
) -> ResponseLogprobs:
    """Return a causal LM in float32, whole or sharded.

    Of a sharded one, each of n processes holds 1/n of every weight. The main process reads the
    weights and hands them out. No other process ever holds them all.

    Args:
        for_values: it is a value model.
    """
    empty = is_sharded and not accelerator.is_main_process
    loaded = load_model(model, gradient_checkpointing, empty=empty, for_values=for_values)
    if not for_values:
        check_tied(loaded, model)
    wait_patiently(accelerator)  # it may come from the hub
    module = (ResponseValues if for_values else ResponseLogprobs)(loaded)
    return shard(accelerator, module) if is_sharded else module


def shard(accelerator: Accelerator, module: ResponseLogprobs) -> ResponseLogprobs:
    """Split a model over all processes, in place, with the main process's weights.

    The weights of a layer are gathered for its forward and for its backward pass, in bfloat16 if
    the accelerator computes in it, and freed after each. Embedding, last norm and head stay
    float32: the head runs in chunks, whose gradients add up in the head's own precision.
    """
    weights = module.state_dict() if accelerator.is_main_process else {}
    mesh = _make_mesh(accelerator)
    compute = torch.bfloat16 if accelerator.mixed_precision == "bf16" else None
    precision = MixedPrecisionPolicy(compute, torch.float32, cast_forward_inputs=False)
    layers = module.model._no_split_modules
    for layer in module.model.modules():
        if type(layer).__name__ in layers:
            fully_shard(layer, mesh=mesh, mp_policy=precision)
    # The root holds embedding, last norm and head. FSDP would keep a root gathered after forward.
    fully_shard(module, mesh=mesh, reshard_after_forward=True)
    fill_empty(module, accelerator.device)
    with torch.no_grad():
        for name, own in module.state_dict().items():
            if not isinstance(own, DTensor):  # a buffer, which every process holds whole
                distributed.broadcast(own, src=0)
                continue
            value = weights[name] if weights else torch.empty(own.shape, dtype=own.dtype)
            value = value.to(accelerator.device)
            own.copy_(distribute_tensor(value, mesh, own.placements))  # from the main process
    return module


def fill_empty(module: nn.Module, device: torch.device) -> None:
    """Move a module to a device. Weights on the meta device get memory there, without content."""
    module._apply(
        lambda values: (
            torch.empty_like(values, device=device) if values.is_meta else values.to(device)
        )
    )


def whole(values: Tensor) -> Tensor:
    """Return a full tensor. A sharded one is gathered, so every process must call this.

    A part in host memory is moved to the device first, because GPUs exchange only their own memory.
    """
    if not isinstance(values, DTensor):
        return values
    return values.to(values.device_mesh.device_type).full_tensor()


def _make_mesh(accelerator: Accelerator) -> distributed.DeviceMesh:
    """Return a mesh of all processes. A process started alone first makes a group of one."""
    if not distributed.is_initialized():
        store = distributed.HashStore()
        backend = "nccl" if accelerator.device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, store=store, rank=0, world_size=1)
    return init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
