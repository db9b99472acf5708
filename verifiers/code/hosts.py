"""What stands for functions and objects of the tests in the process of the solution."""

import functools
from collections.abc import Callable

_class_of: dict[tuple[str, ...], type] = {}  # operators and name: the class of the stand-ins


def make_guest(peer: object, wire: dict) -> object:
    """Return what stands for a function, iterator, coroutine or object of the tests."""
    number = wire["id"]
    if wire["type"] == "callback":
        return _make_function(peer, wire)
    if wire["type"] == "iterator":
        return _Iterator(peer, number)
    if wire["type"] == "awaitable":
        return _Awaitable(peer, number)
    key = (wire["name"], *wire["operators"])
    if key not in _class_of:
        operators = {name: _make_operator(name) for name in wire["operators"]}
        _class_of[key] = type(wire["name"], (_Guest,), operators)
    guest = object.__new__(_class_of[key])
    object.__setattr__(guest, "_ask", functools.partial(_ask, peer, number))
    return guest


def _ask(peer: object, number: int, operation: str, *arguments: object, **more: bool) -> object:
    return peer.ask(operation, number, arguments, **more)


def _make_function(peer: object, wire: dict) -> Callable[..., object]:
    def callback(*arguments: object, **keywords: object) -> object:
        return peer.ask("call", wire["id"], arguments, keywords)

    callback.__name__ = callback.__qualname__ = wire["name"]
    callback.__doc__ = wire["doc"]
    return callback


class _Iterator:
    def __init__(self, peer: object, number: int) -> None:
        self._peer, self._number = peer, number

    def __iter__(self) -> "_Iterator":
        return self

    def __next__(self) -> object:
        return self._peer.ask("next", self._number, may_stop=True)


class _Awaitable:
    def __init__(self, peer: object, number: int) -> None:
        self._peer, self._number = peer, number

    def __await__(self) -> object:
        yield from ()
        return self._peer.ask("await", self._number)


class _Guest:
    """An object of the tests; what its class defines is asked of the tests."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._ask("getattr", name)

    def __setattr__(self, name: str, value: object) -> None:
        self._ask("setattr", name, value)

    def __delattr__(self, name: str) -> None:
        self._ask("delattr", name)


def _make_operator(name: str) -> Callable[..., object]:
    def operator(self: _Guest, *arguments: object) -> object:
        return self._ask(name, *arguments, may_stop=name == "__next__")

    return operator
