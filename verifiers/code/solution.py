"""The solution's side of assert-style tests: does in its own process what the tests ask for."""

import builtins
import collections
import enum
import functools
import importlib
import io
import sys
import types

from verifiers.code import runner
from verifiers.code.containers import is_mutable, overwrite
from verifiers.code.hosts import make_guest
from verifiers.code.operations import KINDS, OPERATIONS, is_allowed_module
from verifiers.code.peer import Peer, describe_error, encode_builtin

_MOST_LIVE, _MOST_ITEMS = 32, 1000  # lists of the solution that are kept equal on both sides
_PRINTED = 2**22  # bytes that a message brings
_SCALARS = (bool, int, float, str, type(None))
_DATA = (int, float, str, list, tuple, dict, set, frozenset)


class Solution(Peer):
    """The solution's side of the connection: carries out requests on the objects it exported."""

    def __init__(self) -> None:
        super().__init__()
        self.export(self)  # number 0 is no object of the solution
        self.guests: dict[int, object] = {}  # number of an object of the tests: what stands for it
        self.guest_numbers: dict[int, int] = {}  # id() of what stands for it: its number
        self.live: dict[int, object] = {}  # number of an exported list: its last wire
        self.names: dict[str, object] = {}  # that the tests use: the value that they have
        self.module: types.ModuleType | None = None
        self.printed = {"stdout": _Printed(), "stderr": _Printed()}
        self._operation, self._target = "", None

    def encode_other(self, value: object) -> dict[str, object]:
        if id(value) in self.guest_numbers:
            return {"type": "guest", "id": self.guest_numbers[id(value)]}
        wire = encode_builtin(value)
        if wire is not None:
            return wire
        if isinstance(value, tuple):  # a named one
            items = [self.encode(item) for item in tuple.__iter__(value)]
            return {"type": "named", "id": self.export(value), "items": items}
        if isinstance(value, BaseException):
            return self.encode_error(value)
        if isinstance(value, types.ModuleType):
            return {"type": "module", "name": value.__name__}
        is_error = isinstance(value, type) and issubclass(value, BaseException)
        if is_error and is_allowed_module(str(value.__module__)):
            return {"type": "stdlib", "module": value.__module__, "name": value.__name__}
        wire = {"type": "handle", "id": self.export(value)}
        if is_error:
            return {
                **wire,
                "name": value.__name__,
                "bases": list(map(self.encode, value.__bases__)),
            }
        if isinstance(value, types.CoroutineType):
            return {**wire, "is_awaitable": True}
        if type(value).__name__ in KINDS:
            return {**wire, "kind": type(value).__name__}
        return wire

    def encode_result(self, value: object) -> object:
        kind = type(value)
        if self._operation == "data":
            return self.encode(value)
        is_own = kind.__module__ == "solution" and not hasattr(kind, "_fields")
        is_made = isinstance(self._target, type) or isinstance(value, enum.Enum)
        if is_own and is_made and issubclass(kind, _DATA):
            return {"type": "handle", "id": self.export(value), "is_data": True}
        if self._operation in ("getattr", "getitem"):
            return self.encode_live(value)
        return self.encode(value)

    def encode_live(self, value: object) -> object:
        """Return a list or dictionary of the solution, to be kept equal on both sides."""
        wire = self.encode(value)
        if not is_mutable(value) or len(value) > _MOST_ITEMS:
            return wire
        number = self.export(value)
        if number not in self.live and len(self.live) >= _MOST_LIVE:
            return wire
        self.live[number] = wire
        return {"type": "live", "id": number, "items": wire}

    def keep(self, argument: object, value: object) -> int:
        if value is argument or len(self.live) >= _MOST_LIVE or len(argument) > _MOST_ITEMS:
            return 0
        number = self.export(argument)
        self.live[number] = self.encode(argument)
        return number

    def encode_error(self, error: BaseException) -> dict[str, object]:
        wire = {"type": "error", "text": describe_error(error), "id": self.export(error)}
        if id(error) in self.guest_numbers:
            return {**wire, "guest": self.guest_numbers[id(error)]}
        wire["class"] = self.encode(type(error))
        wire["arguments"] = [self._encode_safely(argument) for argument in error.args]
        found = vars(error).items()
        wire["attributes"] = {name: self._encode_safely(value) for name, value in found}
        if error.__cause__ is not None and error.__cause__ is not error:
            wire["cause"] = {**self.encode_error(error.__cause__)}
        return wire

    def _encode_safely(self, value: object) -> object:
        try:
            return self.encode(value)
        except Exception:
            return describe_error(value) if isinstance(value, BaseException) else None

    def make_error(self, wire: dict, may_stop: bool) -> BaseException:
        """Return an exception that a function of the tests raised."""
        if -1 - wire["id"] in self.guests:
            return self.guests[-1 - wire["id"]]
        error = getattr(builtins, wire["class"]["name"])(wire["text"])
        self.guests[-1 - wire["id"]] = error  # it must live as long as its id() is known
        self.guest_numbers[id(error)] = wire["id"]
        return error

    def decode_other(self, wire: dict) -> object:
        kind = wire["type"]
        if kind == "handle":
            return self.exported[wire["id"]]
        if kind == "builtin":
            return getattr(builtins, wire["name"])
        if kind == "method":
            return getattr(getattr(builtins, wire["of"]), wire["name"])
        if kind == "named":
            items = [self.decode(item) for item in wire["items"]]
            return collections.namedtuple(wire["name"], wire["fields"])(*items)
        if kind == "stdlib":
            return getattr(importlib.import_module(wire["module"]), wire["name"])
        if kind == "raised":
            return self.make_error(wire, False)
        number = wire["id"]
        if number not in self.guests:
            self.guests[number] = make_guest(self, wire)
            self.guest_numbers[id(self.guests[number])] = number
        return self.guests[number]

    def find_operation(self, operation: str, target: int) -> object:
        self._operation, self._target = operation, self.exported[target]
        if operation == "call":
            return self._target
        if operation == "data":
            return lambda: self._target
        return functools.partial(OPERATIONS[operation], self._target)

    def add_news(self, message: dict) -> None:
        for name, printed in self.printed.items():
            message[name] = printed.take()
        message["live"], message["names"] = {}, {}
        for number, old in self.live.items():
            wire = self.encode(self.exported[number])
            if wire != old:
                message["live"][number] = self.live[number] = wire
        for name, old in self.names.items():
            value = self.module.__dict__.get(name, old)
            if value is not old:
                message["names"][name] = self.encode_live(value)
                self.names[name] = value

    def take_news(self, message: dict) -> None:
        for number, wire in message["live"].items():
            overwrite(self.exported[int(number)], self.decode(wire))
            self.live[int(number)] = wire
        for name, wire in message.get("set_up", {}).items():
            self.module.__dict__.setdefault(name, self.decode(wire))


class _Printed(io.BytesIO):
    """What the solution has printed since the last message, up to a limit."""

    def write(self, content: bytes) -> int:
        return super().write(content) if self.tell() < _PRINTED else len(content)

    def take(self) -> str:
        content = self.getvalue()
        if content:
            self.seek(0)
            self.truncate()
        return content.decode("utf-8", errors="replace")


class _Input(io.TextIOBase):
    """Standard input: the lines that the test gives, if it gives any."""

    def __init__(self, solution: Solution) -> None:
        self.solution = solution

    def readable(self) -> bool:
        return True

    def readline(self, size: int = -1) -> str:
        return self.solution.ask("read_line", 0)

    def read(self, size: int = -1) -> str:
        return "".join(iter(self.readline, ""))


def serve_solution(code: types.CodeType) -> int:
    """Run the solution's module, then do what the tests ask for until they end."""
    solution = Solution()
    hello = solution.channel.receive()
    for name, printed in solution.printed.items():
        stream = io.TextIOWrapper(printed, encoding="utf-8", write_through=True)
        setattr(sys, name, stream)
    sys.stdin = _Input(solution)
    try:
        module, before = runner.run_module_after(hello["prelude"], code)
    except PermissionError:
        solution.channel.send({"names": None})
        raise
    solution.module = module
    found = {name: module.__dict__.get(name) for name in hello["classes"]}
    solution.classes = {name: kind for name, kind in found.items() if isinstance(kind, type)}
    names = {}
    for name in hello["wanted"]:
        value = module.__dict__.get(name, before)
        if value is before or value is before.get(name, before):
            continue
        names[name] = solution.encode_live(value)
        if type(value) in _SCALARS or is_mutable(value):
            solution.names[name] = value
    for printed in solution.printed.values():
        printed.take()
    solution.channel.send({"names": names})
    while True:
        try:
            request = solution.channel.receive()
        except EOFError:
            return 0
        solution.answer(request)
