"""Handles: what stands for an object of the solution in the process of the tests.

An operation on a Handle is carried out by the solution, on its own object. Two rules keep the
solution from judging itself. A comparison with a value of the tests is never handed over: a Handle
equals no such value. And where the other operand is a value of the tests, the result must be an
object again, which is marked: it has no number and no truth value. So `f(1) - 6` cannot be made 0.
Comparisons of two objects of the solution are handed over, with a cross-check: what equals any
foreign object, or the object made with other arguments, or is smaller and larger, is not equal.
A class that answers by the order of the calls can pass this check; it must know it for that.
"""

import operator
from collections.abc import Callable

from verifiers.code.operations import BINARY, KINDS, OPERATIONS

_NOT_FORWARDED = "not forwarded to the solution"
_PROTOCOLS = {  # of libraries, which look for them on any object
    *"__array__ __array_interface__ __array_struct__ __array_priority__ __array_ufunc__".split(),
    *"__array_function__ __deepcopy__ __copy__ __reduce_ex__ __reduce__ __getstate__".split(),
    *"__length_hint__ __fspath__ __iter__ __await__ __set_name__ __mro_entries__".split(),
    *"__prepare__ __signature__ __text_signature__ __wrapped__ __class_getitem__".split(),
}


class Handle:
    """Stands for an object of the solution in the process of the tests."""

    __slots__ = ("__peer", "__number", "__is_data", "__is_marked", "__made", "__kind")

    def __init__(
        self, peer: object, number: int, is_data: bool = False, kind: str | None = None
    ) -> None:
        object.__setattr__(self, "_Handle__peer", peer)
        object.__setattr__(self, "_Handle__number", number)
        object.__setattr__(self, "_Handle__is_data", is_data)
        object.__setattr__(self, "_Handle__is_marked", False)
        object.__setattr__(self, "_Handle__made", None)
        object.__setattr__(self, "_Handle__kind", KINDS.get(kind))

    def __call__(self, *arguments: object, **keywords: object) -> object:
        may_stop = self.__made == "send"  # of a generator
        value = _ask(self, "call", *arguments, may_stop=may_stop, keywords=keywords)
        if self.__made == "named" and type(value) is Handle and value.__made is None:
            object.__setattr__(value, "_Handle__made", (self, arguments, keywords))
        return value

    def __getattr__(self, name: str) -> object:
        if name in _PROTOCOLS:
            raise AttributeError(f"{name}: {_NOT_FORWARDED}")
        value = _ask(self, "getattr", name)
        if name == "send" and type(value) is Handle:
            object.__setattr__(value, "_Handle__made", "send")
        return value

    @property
    def __class__(self) -> object:
        if self.__kind:
            return self.__kind
        kind = _ask(self, "type")
        return kind if type(kind) is Handle else Handle

    def __setattr__(self, name: str, value: object) -> None:
        _ask(self, "setattr", name, value)

    def __delattr__(self, name: str) -> None:
        _ask(self, "delattr", name)

    def __dir__(self) -> list[str]:
        return _ask(self, "dir")

    def __next__(self) -> object:
        return _ask(self, "next", may_stop=True)

    def __contains__(self, item: object) -> bool:
        return _ask(self, "contains", item) is True and not _ask(self, "contains_foreign")

    def __copy__(self) -> object:
        return _ask(self, "copy")

    def __deepcopy__(self, memo: dict) -> object:
        return _ask(self, "deepcopy")

    def __instancecheck__(self, value: object) -> bool:
        if type(value) is not Handle and not hasattr(value, "_handle"):
            return False
        return _ask(self, "isinstance", value) is True

    def __subclasscheck__(self, kind: object) -> bool:
        return type(kind) is Handle and _ask(self, "issubclass", kind) is True

    def __format__(self, description: str) -> str:
        return _ask(self, "format", description)

    def __eq__(self, other: object) -> object:
        if self is other or (type(other) is Handle and self.__number == other.__number):
            return True
        if type(other) is not Handle:
            return self.__is_data and _ask(self, "data") == other
        if self.__is_data or other.__is_data:
            return _to_data(self) == _to_data(other)
        return _ask(self, "eq", other) is True and self.__differs(other)

    def __differs(self, other: "Handle") -> bool:
        """Return whether the solution's __eq__ tells the other object from what it is not."""
        if _ask(self, "eq_foreign") is True or _ask(other, "eq_foreign") is True:
            return False
        for own, made in ((self, other.__made), (other, self.__made)):
            if type(made) is not tuple or not any(map(_can_alter, made[1])):
                continue
            try:
                altered = _ask(made[0], "call", *map(_alter, made[1]), keywords=made[2])
            except Exception:  # these arguments are not allowed
                continue
            if type(altered) is Handle and _ask(own, "eq", altered) is True:
                return False
        return True

    def __ne__(self, other: object) -> bool:
        if type(other) is not Handle or self.__is_data or other.__is_data:
            return not self == other
        return self.__number != other.__number and _ask(self, "ne", other) is True

    def __hash__(self) -> int:
        return _ask(self, "hash")

    def __exit__(self, kind: object, error: object, traceback: object) -> bool:
        _ask(self, "exit", error)
        return False  # or it could suppress a failure: see MaySuppress

    def __await__(self) -> object:
        yield from ()
        return _ask(self, "await")

    def __aiter__(self) -> object:
        return _ask(self, "aiter")

    async def __anext__(self) -> object:
        return _ask(self, "anext", may_stop=True)

    async def __aenter__(self) -> object:
        return _ask(self, "aenter")

    async def __aexit__(self, kind: object, error: object, traceback: object) -> bool:
        _ask(self, "aexit", error)
        return False


class MaySuppress:
    """A context manager of the solution around a block that tests nothing."""

    def __init__(self, manager: Handle) -> None:
        self.manager = manager

    def __enter__(self) -> object:
        return self.manager.__enter__()

    def __exit__(self, kind: object, error: object, traceback: object) -> bool:
        return _ask(self.manager, "exit", error) is True


def _can_alter(value: object) -> bool:
    return type(value) in (int, float, str, list, tuple) and value not in ([], ())


def _alter(value: object) -> object:
    if type(value) in (int, float):
        return value + 1
    if type(value) is str:
        return value + "1"
    return type(value)(map(_alter, value)) if type(value) in (list, tuple) else value


def _ask(
    handle: Handle,
    operation: str,
    *arguments: object,
    may_stop: bool = False,
    keywords: dict | None = None,
) -> object:
    peer, number = handle._Handle__peer, handle._Handle__number
    return peer.ask(operation, number, arguments, keywords, may_stop)


def note_name(value: object) -> object:
    """Take note that a test knows an object by a name; objects that it makes can be checked."""
    if type(value) is Handle:
        object.__setattr__(value, "_Handle__made", "named")
    return value


def number_of(handle: Handle) -> int:
    return handle._Handle__number


def type_of(value: object, *more: object) -> object:
    """Return type(value): of a Handle, the solution's class."""
    if type(value) is not Handle or more:
        return type(value, *more)
    kind = _ask(value, "type")
    return kind if isinstance(kind, type) or type(kind) is Handle else Handle


def _to_data(value: object) -> object:
    """Return an object of a subclass of Python's types as that type; else the object."""
    is_data = type(value) is Handle and value._Handle__is_data
    return _ask(value, "data") if is_data else value


def _mark(value: object, is_needed: bool) -> object:
    if not is_needed:
        return value
    if type(value) is not Handle:
        raise TypeError(f"an operator with a value of the test: {_NOT_FORWARDED}")
    marked = Handle(value._Handle__peer, value._Handle__number)
    object.__setattr__(marked, "_Handle__is_marked", True)
    return marked


def _make_unary(name: str) -> Callable[..., object]:
    def unary(self: Handle, *arguments: object) -> object:
        if self._Handle__is_marked and name in _PLAIN:
            raise TypeError(f"{name}() of the result of an operator: {_NOT_FORWARDED}")
        return _ask(self, name, *arguments)

    return unary


def _make_binary(name: str, is_reflected: bool) -> Callable[..., object]:
    function = OPERATIONS[name]

    def binary(self: Handle, other: object, *more: object) -> object:
        own, plain = _to_data(self), _to_data(other)
        if own is not self and type(plain) is not Handle:
            return function(plain, own) if is_reflected else function(own, plain)
        is_plain = type(other) is not Handle
        is_marked = self._Handle__is_marked or (not is_plain and other._Handle__is_marked)
        value = _ask(self, ("r" if is_reflected else "") + name, other, *more)
        return _mark(value, is_plain or is_marked)

    return binary


def _make_order(name: str, reverse: str) -> Callable[..., object]:
    def compare(self: Handle, other: object) -> object:
        own, plain = _to_data(self), _to_data(other)
        if type(own) is not Handle and type(plain) is not Handle:
            return getattr(operator, name)(own, plain)
        is_marked = self._Handle__is_marked or type(other) is not Handle
        if is_marked or other._Handle__is_marked:
            return NotImplemented
        is_strict = name in ("lt", "gt")
        value = _ask(self, name, other)
        return value is True and not (is_strict and _ask(self, reverse, other) is True)

    return compare


UNARY = """
    neg pos abs invert int float complex index round trunc floor ceil
    iter len bool str repr getitem setitem delitem reversed enter
""".split()
_PLAIN = set("abs int float complex index round trunc floor ceil bool".split())
_ORDER = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}
Handle.__doc__ = property(lambda handle: _ask(handle, "getattr", "__doc__"))
Handle.__module__ = property(lambda handle: _ask(handle, "getattr", "__module__"))
for _name in UNARY:
    setattr(Handle, f"__{_name}__", _make_unary(_name))
for _name in BINARY:
    setattr(Handle, f"__{_name}__", _make_binary(_name, False))
    setattr(Handle, f"__r{_name}__", _make_binary(_name, True))
    if _name != "divmod":
        setattr(Handle, f"__i{_name}__", _make_binary(f"i{_name}", False))
for _name, _reverse in _ORDER.items():
    setattr(Handle, f"__{_name}__", _make_order(_name, _reverse))
