"""A pretend CUDA device: tensors that say they are on cuda:0 and compute on the CPU.

It refuses what a GPU refuses: tensors of two devices in one operation, and a wait for the device
while a CUDA graph is captured. It counts, by line of code, what makes the host wait. A capture only
records; a replay runs the record on the memory that was recorded. A copy that nobody waited for is
not there yet. Kernels, streams, memory, speed and several processes are not imitated.

No compiler is needed, because torch's C++ side takes the tensors for tensors of the CPU; Python
alone sees cuda:0. So autocast follows the CPU's rules.
"""

import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from generation import decoding, generate

CUDA = torch.device("cuda", 0)
aten = torch.ops.aten
_WAITS = {  # operations whose result the host must know: a value, or a shape
    aten._local_scalar_dense.default: "one value",
    aten.nonzero.default: "nonzero",
    aten.masked_select.default: "masked_select",
    aten.equal.default: "equal",
    aten._unique2.default: "unique",
    aten.repeat_interleave.Tensor: "repeat_interleave",
}
_INDEXING = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")


class Pretended(torch.Tensor):
    """A tensor on the pretend device; `value` is what it holds."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    device = property(lambda self: CUDA)
    is_cuda, is_cpu = property(lambda self: True), property(lambda self: False)

    @staticmethod
    def __new__(cls, inner: Tensor):
        layout = dict(strides=inner.stride(), storage_offset=inner.storage_offset())
        made = torch.Tensor._make_wrapper_subclass(cls, inner.size(), dtype=inner.dtype, **layout)
        made.value = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _device.run(func, args, kwargs or {})

    def to(self, *args, **kwargs):
        device, dtype, non_blocking, _ = torch._C._nn._parse_to(*args, **kwargs)
        if device is not None and device.type == "cpu":
            return self.cpu(dtype, non_blocking)
        return super().to(dtype or self.dtype, copy=kwargs.get("copy", False))

    def cpu(self, dtype: torch.dtype | None = None, non_blocking: bool = False) -> Tensor:
        with patch.object(_device, "leaving", True):
            return aten._to_copy(self, dtype=dtype, device="cpu", non_blocking=non_blocking)

    def tolist(self):
        return self.cpu().tolist()

    def untyped_storage(self):
        return self.value.untyped_storage()

    def __repr__(self, **_):
        return f"Pretended({self.value})"


class Device:
    """How the device computes, and what happened on it."""

    def __init__(self):
        self.waits: Counter = Counter()  # (why, line of code): how often the host waited
        self.mixed: list[tuple] = []  # (operation, line of code) with tensors of two devices
        self.illegal: list[tuple] = []  # (why, line of code): waits within a capture
        self.captures = self.replays = 0
        self.recorded: list | None = None  # the operations of the capture that goes on
        self.own: set[int] = set()  # storages made in it
        self.pinned: dict[int, torch.UntypedStorage] = {}  # kept: no address comes a second time
        self.pending: list[tuple[Tensor, Tensor]] = []  # copies to the host, and what will be there
        self.leaving = False  # C++ says "cpu" and means the same device; Python means the host

    def wait(self, why: str) -> None:
        if self.recorded is not None:
            self.illegal.append((why, find_line()))
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        self.waits[why, find_line()] += 1
        for target, value in self.pending:
            target.copy_(value)
        self.pending.clear()

    def run(self, func: Callable, args: tuple, kwargs: dict) -> object:
        tensors = _tensors((args, kwargs))
        here = any(isinstance(x, Pretended) for x in tensors)
        wanted = torch.device(kwargs.get("device") or "cpu").type
        # Gradients begin with tensors that C++ makes on what it takes for the device.
        of_gradient = not tensors and torch._C._current_autograd_node() is not None
        if not (here or wanted == "cuda" or of_gradient):
            if func is not aten._pin_memory.default:
                return func(*args, **kwargs)
            return self._pin(args[0].clone())
        if func is aten._to_copy.default:
            to_device = wanted == "cuda" or here and not self.leaving
            if to_device != here:
                return self._copy_across(args[0], to_device, **kwargs)
        elif func is aten.copy_.default:  # a host's number is an argument, not a copy
            if not all(isinstance(x, Pretended) or not x.dim() for x in tensors[:2]):
                self._wait_for_copy(tensors[1], all(args[2:3]) and len(args) > 2)
        elif here:
            self._check(func, args, kwargs, tensors)
        return self._compute(func, args, kwargs)

    def _pin(self, values: Tensor) -> Tensor:
        self.pinned[values.untyped_storage().data_ptr()] = values.untyped_storage()
        return values

    def _wait_for_copy(self, source: Tensor, non_blocking: bool) -> None:
        if not (non_blocking and _inner(source).untyped_storage().data_ptr() in self.pinned):
            self.wait("copy" if isinstance(source, Pretended) else "copy to the device")

    def _copy_across(
        self, source: Tensor, to_device: bool, dtype=None, non_blocking=False, **_
    ) -> Tensor:
        copied = _inner(source).to(dtype or source.dtype, copy=True)
        if to_device:
            self._wait_for_copy(source, non_blocking)
            return Pretended(copied)
        if not non_blocking:
            self.wait("copy to the host")
            return copied
        self.pending.append((copied, copied.clone()))  # until a wait, anything may be there
        return self._pin(_spoil(copied))  # torch puts such a copy into pinned memory

    def _check(self, func: Callable, args: tuple, kwargs: dict, tensors: list[Tensor]) -> None:
        """Count the waits of an operation; refuse tensors of two devices."""
        if func in _WAITS and kwargs.get("output_size") is None:
            self.wait(_WAITS[func])
        name = func._schema.name
        if name in _INDEXING:
            indices = [x for x in args[1] if x is not None]
            for index in indices:
                if not isinstance(index, Pretended):
                    self.wait("index from the host")
                if index.dtype == torch.bool:
                    self.wait("index by a mask")
            tensors = [x for x in tensors if not any(x is index for index in indices)]
        if any(x.dim() and not isinstance(x, Pretended) for x in tensors):
            self.mixed.append((name, find_line()))
            raise RuntimeError(f"{name}: expected all tensors on one device, found cuda:0 and cpu")

    def _compute(self, func: Callable, args: tuple, kwargs: dict) -> object:
        inner = tree_map(_inner, args), tree_map(_inner, kwargs)
        if "device" in kwargs:
            inner[1]["device"] = "cpu"
        arguments, returns = func._schema.arguments, func._schema.returns
        places = [n for n, a in enumerate(arguments) if a.alias_info and a.alias_info.is_write]
        if places:  # in place: what is returned is what was given
            given = [args[n] if n < len(args) else kwargs[arguments[n].name] for n in places]
            storages = {_inner(x).untyped_storage().data_ptr() for x in _tensors(given)}
            if self.recorded is None or storages <= self.own:
                func(*inner[0], **inner[1])
            self._record(func, inner, [])
            return (given if len(given) > 1 else given[0]) if returns else None
        made = func(*inner[0], **inner[1])
        if not any(r.alias_info for r in returns):  # a view computes nothing
            self._record(func, inner, _tensors(made))
        return tree_map(lambda x: Pretended(x) if isinstance(x, Tensor) else x, made)

    def _record(self, func: Callable, inner: tuple, made: list[Tensor]) -> None:
        if self.recorded is not None:
            self.recorded.append((func, inner, made))
            self.own |= {x.untyped_storage().data_ptr() for x in made}

    @contextmanager
    def capture(self, graph: "Graph") -> Iterator[None]:
        self.wait("capture")
        self.captures += 1
        self.recorded, self.own = graph.operations, set()
        try:
            yield
        finally:
            self.recorded = None
            for *_, made in graph.operations:
                for values in made:
                    _spoil(values)


class Graph:
    """Takes the place of torch.cuda.CUDAGraph."""

    def __init__(self):
        self.operations: list[tuple] = []

    def replay(self) -> None:
        _device.replays += 1
        for func, inner, made in self.operations:
            values = func(*inner[0], **inner[1])
            for own, value in zip(made, _tensors(values)):
                own.copy_(value)


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _device.run(func, args, kwargs or {})


class _Calls(TorchFunctionMode):
    """Rewrites the few calls in which C++ itself would look for a CUDA device."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = {name: CUDA if str(x) == "cuda" else x for name, x in (kwargs or {}).items()}
        if func is Tensor.to:
            args = [CUDA if str(x) == "cuda" else x for x in args]
        if func is torch.tensor and kwargs.get("device") == CUDA:
            return func(*args, **{**kwargs, "device": "cpu"}).to(CUDA)
        return func(*args, **kwargs)


_device = Device()


def _inner(value: object) -> object:
    return value.value if isinstance(value, Pretended) else value


def _tensors(values: object) -> list[Tensor]:
    return [x for x in tree_leaves(values) if isinstance(x, Tensor)]


def _spoil(values: Tensor) -> Tensor:
    return values.fill_(float("nan") if values.is_floating_point() else 0)


def find_line() -> str:
    """Return the line that is being run, the innermost outside of libraries and of this file."""
    for frame, line in traceback.walk_stack(None):
        path = frame.f_code.co_filename
        if path.endswith(".py") and path != __file__ and "/lib/python" not in path:
            return f"{'/'.join(path.split('/')[-2:])}:{line} {frame.f_code.co_name}"
    return "?"


@contextmanager
def pretend_cuda() -> Iterator[Device]:
    """Within this context, there is a CUDA device; the Device yielded tells what happens on it."""
    _device.__init__()
    autocast, group = torch.autocast.__init__, torch._C._group_tensors_by_device_and_dtype
    enabled, dtype = torch.is_autocast_enabled, torch.get_autocast_dtype

    def autocast_on_cpu(self, device_type: str, *rest, **settings) -> None:
        autocast(self, "cpu", *rest, **settings)

    def group_as_seen(lists: list, with_indices: bool = False) -> dict:
        groups = group(lists, with_indices).items()
        return {(value[0][0][0].device, kind): value for (_, kind), value in groups}

    facts = dict(is_available=True, device_count=1, current_device=0, is_bf16_supported=True)
    facts |= dict(mem_get_info=(2**36, 2**36), get_device_capability=(9, 0))
    nothing = "_lazy_init set_device manual_seed_all empty_cache current_stream set_stream"
    facts |= dict.fromkeys(nothing.split())
    changes = [(torch.cuda, name, lambda *_, v=value, **__: v) for name, value in facts.items()]
    changes += [
        (torch.cuda, "synchronize", lambda *_: _device.wait("synchronize")),
        (torch.cuda, "CUDAGraph", Graph),
        (torch.cuda, "graph", _device.capture),
        (torch.autocast, "__init__", autocast_on_cpu),
        (torch, "is_autocast_enabled", lambda *_: enabled("cpu")),
        (torch, "get_autocast_dtype", lambda *_: dtype("cpu")),
        (torch._C, "_group_tensors_by_device_and_dtype", group_as_seen),
    ]
    # In inference mode, operations come in larger pieces, whose parts would not be seen.
    decode = torch.no_grad()(decoding.decode.__wrapped__)
    changes += [(module, "decode", decode) for module in (decoding, generate)]
    # A parameter that moves stays the same object.
    changes.append((torch.__future__, "_swap_module_params_on_conversion", True))
    with ExitStack() as stack:
        for change in changes:
            stack.enter_context(patch.object(*change))
        with _Calls(), _Operations():
            yield _device
