"""Exceptions of the solution in the process of the tests.

A class of exceptions of the solution is stood in for by a class with the same name and bases, so
that `except` finds it. An exception carries its arguments and attributes as data; what else a test
asks of it is asked of the solution.
"""

import builtins

from verifiers.code.handles import Handle


class _Meta(type):
    """The class of stand-ins: a test that makes an exception has the solution make it."""

    def __call__(cls, *arguments: object, **keywords: object) -> object:
        if "_stand_in" not in cls.__dict__:  # a class of the test, derived from a stand-in
            return super().__call__(*arguments, **keywords)
        return cls._stand_in(*arguments, **keywords)

    def __getattr__(cls, name: str) -> object:
        if name.startswith("__") or name == "_stand_in":
            raise AttributeError(name)
        return getattr(cls._stand_in, name)


def make_class(peer: object, number: int, wire: dict) -> type:
    """Return the stand-in for a class of exceptions.

    Raises:
        TypeError: its bases are no exceptions.
    """
    bases = tuple(peer.decode(base) for base in wire["bases"])
    if not bases or not all(isinstance(b, type) and issubclass(b, BaseException) for b in bases):
        raise TypeError("the solution sent a class that is no exception")
    content = {
        "_stand_in": Handle(peer, number),
        "_number": number,
        "__getattr__": _get_attribute,
        "__str__": _get_text,
    }
    try:
        return _Meta(str(wire["name"]), bases, content)
    except TypeError:  # their layouts conflict
        return _Meta(str(wire["name"]), bases[:1], content)


def make_error(peer: object, wire: dict) -> BaseException:
    """Return the exception that the solution raised or made."""
    kind = peer.decode(wire["class"])
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        kind = RuntimeError
    arguments = tuple(peer.decode(argument) for argument in wire["arguments"])
    try:
        error = kind.__new__(kind, *arguments)
        if type(kind) is type:
            error.__init__(*arguments)
    except Exception:  # this class takes other arguments
        error = kind.__new__(kind)
    error.args = arguments
    for name, value in wire["attributes"].items():
        if not name.startswith("__"):
            error.__dict__[name] = peer.decode(value)
    error.__dict__["_handle"] = Handle(peer, wire["id"])
    error.__dict__["_text"] = str(wire["text"])
    if "cause" in wire:
        error.__cause__ = make_error(peer, wire["cause"])
    return error


def _get_attribute(error: BaseException, name: str) -> object:
    if name.startswith("__") or name == "_handle" or "_handle" not in error.__dict__:
        raise AttributeError(name)
    return getattr(error._handle, name)


def _get_text(error: BaseException) -> str:
    if "_text" in error.__dict__:
        return error._text
    return BaseException.__str__(error)


def find_builtin(name: str) -> type:
    """Return a class of Python's that the solution names; it may send no function."""
    value = getattr(builtins, name)
    if not isinstance(value, type):
        raise TypeError("the solution returned a built-in function")
    return value
