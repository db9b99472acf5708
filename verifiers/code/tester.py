"""The tests' side of the connection to the solution: what stands for the solution's values."""

import builtins
import importlib
import io
import sys
import types

from verifiers.code.containers import overwrite
from verifiers.code.guests import encode_guest, find_guest_operation
from verifiers.code.handles import Handle, number_of
from verifiers.code.operations import is_allowed_module
from verifiers.code.peer import Peer, describe_error, encode_builtin
from verifiers.code.stand_ins import find_builtin, make_class, make_error

_real_input = builtins.input


class Tester(Peer):
    """The tests' side of the connection: knows the solution's objects by Handles."""

    def __init__(self, module: types.ModuleType) -> None:
        super().__init__()
        self.module = module
        self.known: dict[int, object] = {}  # number of a Handle: the one object for it
        self.live: dict[int, list] = {}  # number: the copy of a list of the solution, its wire
        self.allowed: set[str] = set()  # names that the solution may change
        self.visible: dict[str, object] = {}  # set-up that the solution may use
        self.has_failed = False  # an assertion failed in a function that the solution called

    def encode_other(self, value: object) -> dict[str, object]:
        if type(value) is Handle:
            return {"type": "handle", "id": number_of(value)}
        if isinstance(value, type) and "_number" in value.__dict__:  # a class of exceptions
            return {"type": "handle", "id": value._number}
        if isinstance(value, BaseException) and "_handle" in value.__dict__:
            return {"type": "handle", "id": number_of(value._handle)}
        if isinstance(value, tuple):  # a named one
            items = [self.encode(item) for item in tuple.__iter__(value)]
            names = [type(value).__name__, list(type(value)._fields)]
            return {"type": "named", "name": names[0], "fields": names[1], "items": items}
        if isinstance(value, BaseException):
            return {"type": "raised", **self.encode_error(value)}
        return encode_builtin(value) or encode_guest(self, value)

    def encode_argument(self, value: object) -> object:
        for number, (copy, _) in self.live.items():
            if copy is value:
                return {"type": "handle", "id": number}
        return self.encode(value)

    def decode_other(self, wire: dict) -> object:
        kind = wire["type"]
        if kind == "builtin":
            return find_builtin(wire["name"])
        if kind == "guest":
            return self.exported[wire["id"]]
        if kind == "error":
            return make_error(self, wire)
        if kind == "stdlib":
            return _find_error_class(wire["module"], wire["name"])
        if kind == "module":
            return _find_module(wire["name"])
        if kind == "named":
            return _make_named_tuple(self, wire)
        number = wire["id"]
        if kind == "live":
            return self._decode_live(number, wire["items"])
        if kind != "handle":
            raise TypeError(f"the solution sent a {kind}")
        if number not in self.known:
            is_class = "bases" in wire
            handle = Handle(self, number, bool(wire.get("is_data")), wire.get("kind"))
            self.known[number] = make_class(self, number, wire) if is_class else handle
        if wire.get("is_awaitable"):
            return _wait_for(self.known[number])
        return self.known[number]

    def _decode_live(self, number: int, wire: object) -> object:
        value = self.decode(wire)
        copy = self.live[number][0] if number in self.live else value
        if copy is not value:
            _replace(copy, value)
        self.live[number] = [copy, wire]
        return copy

    def kept(self, argument: object, number: int) -> None:
        self.live[number] = [argument, self.encode(argument)]

    def add_news(self, message: dict) -> None:
        message["live"] = {}
        for number, pair in self.live.items():
            wire = self.encode(pair[0])
            if wire != pair[1]:
                message["live"][number] = pair[1] = wire
        if self.visible:
            message["set_up"] = {name: self.encode(v) for name, v in self.visible.items()}
            self.visible = {}

    def take_news(self, message: dict) -> None:
        for name in ("stdout", "stderr"):
            if message.get(name):
                getattr(sys, name).write(str(message[name]))
        for number, wire in message["live"].items():
            self._decode_live(int(number), wire)
        for name, wire in message["names"].items():
            if name in self.allowed:
                self.module.__dict__[name] = self.decode(wire)

    def find_operation(self, operation: str, target: int) -> object:
        """Return what a solution may ask for: functions and objects that a test handed over."""
        if operation == "read_line":
            return _read_line
        value = self.exported[target]
        return find_guest_operation(self.module.__name__, operation, value)

    def note_error(self, error: BaseException) -> None:
        self.has_failed = self.has_failed or isinstance(error, AssertionError)

    def encode_error(self, error: BaseException) -> dict[str, object]:
        """Return an exception of the tests; the solution gets the nearest class of Python's."""
        kinds = [kind for kind in type(error).__mro__ if encode_builtin(kind)]
        wire = {"class": encode_builtin(kinds[0]), "text": describe_error(error)}
        return {**wire, "id": self.export(error)}

    def make_error(self, wire: dict, may_stop: bool) -> BaseException:
        if "guest" in wire:  # it came from the tests
            error = self.exported[wire["guest"]]
            return error if isinstance(error, BaseException) else RuntimeError()
        error = make_error(self, wire)
        is_stop = isinstance(error, (StopIteration, StopAsyncIteration)) and not may_stop
        if is_stop or isinstance(error, GeneratorExit):  # it would end a loop in the tests
            return RuntimeError(describe_error(error))
        return error


def _find_error_class(module: str, name: str) -> type:
    """Return a class of exceptions of Python's library; the solution may send no other."""
    value = getattr(_find_module(module), name)
    is_error = isinstance(value, type) and issubclass(value, BaseException)
    if not is_error or not is_allowed_module(module) or not is_allowed_module(value.__module__):
        raise TypeError(f"the solution sent {name}")
    return value


def _find_module(name: str) -> types.ModuleType:
    """Return a module of Python's that the solution has imported."""
    if name.partition(".")[0] not in sys.stdlib_module_names:
        raise TypeError(f"the solution sent the module {name}")
    return importlib.import_module(name)


async def _wait_for(handle: Handle) -> object:
    return await handle


def _replace(copy: object, value: object) -> None:
    if type(copy) is type(value):
        overwrite(copy, value)


class _NamedTuple(tuple):
    """A named tuple of the solution: its items are data, its names are asked of the solution."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") or name == "_handle":
            raise AttributeError(name)
        return getattr(self._handle, name)

    def __repr__(self) -> str:
        return repr(self._handle)


def _make_named_tuple(peer: Tester, wire: dict) -> tuple:
    value = _NamedTuple(peer.decode(item) for item in wire["items"])
    value.__dict__["_handle"] = Handle(peer, wire["id"])
    return value


def _read_line() -> str:
    """Return a line of what the test gives as input, if it gives any."""
    if builtins.input is not _real_input:
        return str(builtins.input()) + "\n"
    return sys.stdin.readline() if isinstance(sys.stdin, io.StringIO) else ""
