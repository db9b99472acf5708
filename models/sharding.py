"""Models split over processes, layer by layer, by PyTorch's FSDP2 (fully_shard)."""

import torch
from accelerate import Accelerator
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from models.loading import load_model
from models.logprobs import ResponseLogprobs


def load_sharded(
    accelerator: Accelerator, model: str, gradient_checkpointing: bool = False
) -> ResponseLogprobs:
    """Return a causal LM of which each of n processes holds 1/n of every weight, in float32.

    The main process reads the weights and hands them out; no other ever holds the whole.
    """
    is_main = accelerator.is_main_process
    return shard(
        accelerator,
        ResponseLogprobs(load_model(model, gradient_checkpointing, empty=not is_main)),
    )


def shard(accelerator: Accelerator, module: ResponseLogprobs) -> ResponseLogprobs:
    """Split a model over all processes, in place, with the main process's weights.

    A layer's weights are gathered for its forward and for its backward pass, in bfloat16 where the
    accelerator computes in it, and freed behind it. Embedding, last norm and head stay float32: the
    gradient of a head that is applied in chunks adds up in the head's own precision.
    """
    weights = module.state_dict() if accelerator.is_main_process else {}
    mesh = _make_mesh(accelerator)
    compute = torch.bfloat16 if accelerator.mixed_precision == "bf16" else None
    precision = MixedPrecisionPolicy(compute, torch.float32, cast_forward_inputs=False)
    layers = module.model._no_split_modules
    for layer in module.model.modules():
        if type(layer).__name__ in layers:
            fully_shard(layer, mesh=mesh, mp_policy=precision)
    fully_shard(module, mesh=mesh, reshard_after_forward=True)
    fill_empty(module, accelerator.device)
    with torch.no_grad():
        for name, own in module.state_dict().items():
            if not isinstance(own, DTensor):
                distributed.broadcast(own, src=0)
                continue
            value = weights[name] if weights else torch.empty(own.shape, dtype=own.dtype)
            value = value.to(accelerator.device)
            own.copy_(distribute_tensor(value, mesh, own.placements))  # the main process's
    return module


def fill_empty(module: nn.Module, device: torch.device) -> None:
    """Put a model made without weights on a device, with room for them; others just move there."""
    module._apply(
        lambda values: (
            torch.empty_like(values, device=device) if values.is_meta else values.to(device)
        )
    )


def whole(values: Tensor) -> Tensor:
    """Return a tensor in full, gathered where it is split; every process must ask for it.

    What waits in host memory is moved first: processes with GPUs exchange what is on them alone.
    """
    if not isinstance(values, DTensor):
        return values
    return values.to(values.device_mesh.device_type).full_tensor()


def is_sharded(module: nn.Module) -> bool:
    """Return whether the weights of a model are split over processes."""
    return any(isinstance(parameter, DTensor) for parameter in module.parameters())


def _make_mesh(accelerator: Accelerator) -> distributed.DeviceMesh:
    """Return all processes in a row; one that was started alone makes a group of itself first."""
    if not distributed.is_initialized():
        store = distributed.HashStore()
        backend = "nccl" if accelerator.device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, store=store, rank=0, world_size=1)
    return init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
