"""Guests: what of the tests the solution may use, and how little.

A function of the tests may be called, an iterator advanced, a coroutine awaited. Of an object of a
class that the test defines, public attributes and the operators that the class defines may be used.
Everything runs in the process of the tests. Nothing else of it can be reached: no attribute of
a function, no name with an underscore but the operators, no module.
"""

import collections.abc
import functools
import inspect
import sys
import types
from collections.abc import Callable

from verifiers.code.peer import run_to_end

OPERATORS = """
    __add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __floordiv__
    __rfloordiv__ __mod__ __rmod__ __pow__ __rpow__ __matmul__ __rmatmul__ __and__ __or__ __xor__
    __neg__ __pos__ __abs__ __invert__ __int__ __float__ __index__ __round__ __eq__ __ne__ __lt__
    __le__ __gt__ __ge__ __hash__ __bool__ __len__ __iter__ __next__ __reversed__ __contains__
    __getitem__ __setitem__ __delitem__ __call__ __enter__ __exit__ __str__ __repr__ __format__
    __iadd__ __isub__ __imul__
""".split()


def encode_guest(peer: object, value: object) -> dict[str, object]:
    """Return a reference to a function or object of the tests.

    Raises:
        TypeError: the solution may not have it.
    """
    kind = type(value)
    if inspect.isawaitable(value):
        return {"type": "awaitable", "id": peer.export(value)}
    if kind.__module__ == peer.module.__name__ and not isinstance(value, type):
        operators = [name for name in OPERATORS if _find_operator(value, name)]
        wire = {"type": "guest", "id": peer.export(value), "operators": operators}
        return {**wire, "name": kind.__name__}
    if isinstance(value, collections.abc.Iterator):
        return {"type": "iterator", "id": peer.export(value)}
    module, name = getattr(value, "__module__", None), getattr(value, "__name__", None)
    if isinstance(module, str) and module.partition(".")[0] in sys.stdlib_module_names:
        if getattr(sys.modules.get(module), str(name), None) is value:
            return {"type": "stdlib", "module": module, "name": name}
    if not callable(value) or isinstance(value, types.ModuleType):
        raise TypeError(f"a {kind.__name__} cannot be handed to the solution")
    doc = getattr(value, "__doc__", None)
    texts = {"name": str(name), "doc": doc if isinstance(doc, str) else None}
    return {"type": "callback", "id": peer.export(value), **texts}


def find_guest_operation(module: str, operation: str, value: object) -> Callable[..., object]:
    """Return the function that does what the solution asks for.

    Raises:
        TypeError: it may not ask for it.
    """
    is_object = type(value).__module__ == module and not isinstance(value, type)
    if operation == "next" and isinstance(value, collections.abc.Iterator):
        return functools.partial(next, value)
    if operation == "await" and inspect.isawaitable(value):
        return functools.partial(run_to_end, value)
    if operation == "call" and not is_object and callable(value):
        return value
    if is_object and operation in ("getattr", "setattr", "delattr"):
        return functools.partial(_use_attribute, operation, value)
    if is_object and operation in OPERATORS:
        method = _find_operator(value, operation)
        if method:
            return functools.partial(method, value)
    raise TypeError(f"{operation} of a {type(value).__name__} is not the solution's to ask for")


def _find_operator(value: object, name: str) -> Callable[..., object] | None:
    """Return an operator that a class of the test defines itself."""
    for base in type(value).__mro__:
        if name in base.__dict__ and base is not object:
            function = base.__dict__[name]
            return function if isinstance(function, types.FunctionType) else None
    return None


def _use_attribute(operation: str, value: object, name: str, *new: object) -> object:
    if type(name) is not str or name.startswith("_"):
        raise AttributeError(f"{name}: not the solution's to ask for")
    if operation == "getattr":
        return getattr(value, name)
    return setattr(value, name, *new) if operation == "setattr" else delattr(value, name)
