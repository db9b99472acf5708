"""The operations on its objects that the solution carries out for the tests."""

import builtins
import copy
import functools
import math
import operator
import sys
import types
from collections.abc import Callable

from verifiers.code.peer import run_to_end

BINARY = """
    add sub mul truediv floordiv mod pow matmul and or xor lshift rshift divmod
""".split()


KINDS = {  # of objects that stay with the solution: what tests may look for
    "generator": types.GeneratorType,
    "function": types.FunctionType,
    "method": types.MethodType,
}


_STEERING = ("asyncio", "concurrent", "doctest", "unittest")  # some of their exceptions end a test


def is_allowed_module(name: str) -> bool:
    """Return whether a solution may send exceptions of a module of Python's library."""
    root = name.partition(".")[0]
    return root in sys.stdlib_module_names and root not in _STEERING


class _Foreign:
    """What no object of a solution may equal or contain."""


def _is_so(function: Callable[..., object], *arguments: object) -> bool:
    try:
        return function(*arguments) is True
    except Exception:  # it cannot tell, so it is not so
        return False


def _leave(value: object, error: BaseException | None) -> object:
    kind = type(error) if error is not None else None
    return type(value).__exit__(value, kind, error, None)


def _leave_later(value: object, error: BaseException | None) -> object:
    kind = type(error) if error is not None else None
    return run_to_end(value.__aexit__(kind, error, None))


OPERATIONS: dict[str, Callable[..., object]] = {
    "isinstance": lambda kind, value: isinstance(value, kind),
    "issubclass": lambda kind, other: issubclass(other, kind),
    "eq_foreign": lambda value: _is_so(operator.eq, value, _Foreign()),
    "contains_foreign": lambda value: _is_so(operator.contains, value, _Foreign()),
    "enter": lambda value: type(value).__enter__(value),
    "exit": _leave,
    "await": run_to_end,
    "aiter": lambda value: value.__aiter__(),
    "anext": lambda value: run_to_end(value.__anext__()),
    "aenter": lambda value: run_to_end(value.__aenter__()),
    "aexit": _leave_later,
}
for _name in """
    abs int float complex round iter next len bool str repr reversed hash type getattr setattr
    delattr format dir divmod
""".split():
    OPERATIONS[_name] = getattr(builtins, _name)
for _name in "neg pos invert index eq ne lt gt le ge getitem setitem delitem contains".split():
    OPERATIONS[_name] = getattr(operator, _name)
for _module, _names in ((math, "trunc floor ceil"), (copy, "copy deepcopy")):
    for _name in _names.split():
        OPERATIONS[_name] = getattr(_module, _name)


def _reflect(function: Callable[..., object], value: object, other: object) -> object:
    return function(other, value)


for _name in BINARY:
    if _name != "divmod":
        _plain = _name + "_" if _name in ("and", "or") else _name
        OPERATIONS[_name] = pow if _name == "pow" else getattr(operator, _plain)
        OPERATIONS[f"i{_name}"] = getattr(operator, f"i{_name}")
    OPERATIONS[f"r{_name}"] = functools.partial(_reflect, OPERATIONS[_name])
