"""What the process of assert-style tests and the process of the solution have in common.

Messages are lines of JSON. A request names an operation on an object that the other side has sent
before. The reply brings the value and the changes to the arguments. The two sides are asserts.py
and solution.py.
"""

import builtins
import contextlib
import sys
import threading
import types
from collections.abc import Callable, Iterator

from verifiers.code import containers, json_text, values
from verifiers.code.nodes import NodeTable

CHANNEL = 3  # descriptor of the socket to the other process
_BUILTIN_KINDS = (type, types.BuiltinFunctionType)
_loops: list[object] = []  # the event loop of this process, once there is one
_METHOD_KINDS = (types.MethodDescriptorType, types.WrapperDescriptorType)


class _Channel:
    """Sends and receives messages, one line of JSON each."""

    def __init__(self) -> None:
        self._incoming = open(CHANNEL, "rb", closefd=False)
        self._outgoing = open(CHANNEL, "wb", closefd=False)

    def send(self, message: dict) -> None:
        self._outgoing.write(json_text.dump_json(message).encode() + b"\n")
        self._outgoing.flush()

    def receive(self) -> dict:
        line = self._incoming.readline()
        if not line.endswith(b"\n"):
            raise EOFError("the other process has ended")
        return json_text.load_trusted_json(line)


class Peer:
    """What both sides do: ask, answer and translate values.

    Each side defines encode_other, decode_other, find_operation and make_error, and what it adds
    to its messages and takes from those of the other side.
    """

    def __init__(self) -> None:
        self.channel = _Channel()
        self.exported: list[object] = []
        self.classes: dict[str, type] = {}  # whose objects cross as data (nodes.py)
        self._numbers: dict[int, int] = {}  # id() of an exported object: its index in the list
        self._lock = threading.RLock()  # the threads of a test take turns
        self._nodes = NodeTable({})
        self._found: list[object] = []  # mutable values in the arguments of the present call

    def export(self, value: object) -> int:
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self.exported)
            self.exported.append(value)
        return self._numbers[id(value)]

    def encode(self, value: object) -> object:
        return values.encode(value, self._encode_any)

    def _encode_any(self, value: object) -> object:
        if self._nodes.is_node(value):
            return {"type": "node", "items": self._nodes.add(value)}
        return self.encode_other(value)

    def decode(self, wire: object) -> object:
        return values.decode(wire, self._decode_any)

    def _decode_any(self, wire: dict) -> object:
        if wire["type"] == "node":
            return self._nodes.objects[wire["items"]]
        if wire["type"] == "known":
            return self._found[wire["items"]]
        return self.decode_other(wire)

    @contextlib.contextmanager
    def _message(self) -> Iterator[None]:
        """Begin the objects and mutable values of a message; return to those before it."""
        before = self._nodes, self._found
        self._nodes, self._found = NodeTable(self.classes), []
        try:
            yield
        finally:
            self._nodes, self._found = before

    def ask(
        self,
        operation: str,
        target: int,
        arguments: tuple = (),
        keywords: dict | None = None,
        may_stop: bool = False,
    ) -> object:
        """Have the other side do something with an object of its own, and return the value.

        Changes to the arguments are copied back. Raises what the other side raised.
        """
        keywords = keywords or {}
        with self._lock, self._message():
            passed = [*arguments, *keywords.values()]
            request = {
                "operation": operation,
                "target": target,
                "arguments": [self.encode_argument(value) for value in arguments],
                "keywords": {name: self.encode_argument(v) for name, v in keywords.items()},
            }
            request["nodes"] = self._nodes.pack(self.encode)
            self.add_news(request)
            reply = self._exchange(request)
            sent = [*request["arguments"], *request["keywords"].values()]
            self._found = _find_mutable(passed, sent)
            self._nodes.unpack(reply["nodes"], self.decode)
            self.take_news(reply)
            changes = [(number, self.decode(wire)) for number, wire in reply["changed"]]
            for number, content in changes:
                containers.overwrite(self._found[number], content)
            for at, number in reply.get("kept", {}).items():
                self.kept(self._found[int(at)], number)
            if "error" in reply:
                raise self.make_error(reply["error"], may_stop)
            return self.decode(reply["value"])

    def _exchange(self, request: dict) -> dict:
        """Send a request and return the reply; answer what the other side asks meanwhile."""
        self.channel.send(request)
        while True:
            message = self.channel.receive()
            if "operation" not in message:
                return message
            self.answer(message)

    def answer(self, request: dict) -> None:
        with self._message():
            try:
                reply = self._perform(request)
            except BaseException as error:  # the caller must see sys.exit too
                self.note_error(error)
                reply = {"error": self.encode_error(error), "changed": []}
            reply["nodes"] = self._nodes.pack(self.encode)
            self.add_news(reply)
            self.channel.send(reply)

    def _perform(self, request: dict) -> dict:
        self.take_news(request)
        self._nodes.unpack(request["nodes"], self.decode)
        arguments = [self.decode(wire) for wire in request["arguments"]]
        keywords = {name: self.decode(wire) for name, wire in request["keywords"].items()}
        passed = [*arguments, *keywords.values()]
        sent = [*request["arguments"], *request["keywords"].values()]
        function = self.find_operation(request["operation"], request["target"])
        found = _find_mutable(passed, sent)
        counts = [sys.getrefcount(item) for item in found]
        kept: dict[int, int] = {}
        try:
            value = function(*arguments, **keywords)
        except BaseException as error:
            self.note_error(error)
            reply = {"error": self.encode_error(error)}
        else:
            same = next((at for at, item in enumerate(found) if item is value), None)
            is_same = same is not None
            wire = {"type": "known", "items": same} if is_same else self.encode_result(value)
            reply = {"value": wire}
            more = [at for at, item in enumerate(found) if sys.getrefcount(item) > counts[at]]
            kept = {at: number for at in more if (number := self.keep(found[at], value))}
        reply["kept"] = kept
        reply["changed"] = self._list_changes(passed, sent, found)
        return reply

    def _list_changes(self, passed: list, sent: list, found: list[object]) -> list[list]:
        """Return [number, new content] of each mutable value in the arguments that changed."""
        pairs = [(value, wire) for value, wire in zip(passed, sent) if _is_data(wire)]
        if not found or all(self.encode(value) == wire for value, wire in pairs):
            return []
        before = containers.list_mutable([self.decode(wire) for _, wire in pairs])
        old = containers.describe(before, self._encode_any)
        new = containers.describe(found, self._encode_any)
        return [[at, wire] for at, wire in enumerate(new) if wire != old[at]]

    # What a side does in its own way.

    def find_operation(self, operation: str, target: int) -> Callable[..., object]:
        raise NotImplementedError

    def encode_error(self, error: BaseException) -> dict[str, object]:
        raise NotImplementedError

    def encode_argument(self, value: object) -> object:
        return self.encode(value)

    def encode_result(self, value: object) -> object:
        return self.encode(value)

    def note_error(self, error: BaseException) -> None:
        pass

    def keep(self, argument: object, value: object) -> int:
        """Go on to exchange the changes of an argument; return its number, 0 if that is too much.

        It was copied, and the function that has returned still refers to it.
        """
        return 0

    def kept(self, argument: object, number: int) -> None:
        """Take note that the other side keeps an argument."""

    def add_news(self, message: dict) -> None:
        raise NotImplementedError

    def take_news(self, message: dict) -> None:
        raise NotImplementedError


def _find_mutable(passed: list, sent: list) -> list[object]:
    return containers.list_mutable([v for v, wire in zip(passed, sent) if _is_data(wire)])


def _is_data(wire: object) -> bool:
    """Return whether an argument is a copy, not the other side's own object."""
    return isinstance(wire, list) or (isinstance(wire, dict) and wire["type"] != "handle")


def encode_builtin(value: object) -> dict[str, str] | None:
    """Return a reference to a class, function or method of Python's; None if it is not one."""
    name = getattr(value, "__name__", None) if isinstance(value, _BUILTIN_KINDS) else None
    if isinstance(name, str) and getattr(builtins, name, None) is value:
        return {"type": "builtin", "name": name}
    if isinstance(value, _METHOD_KINDS):  # str.upper
        owner = value.__objclass__.__name__
        if getattr(builtins, owner, None) is value.__objclass__:
            return {"type": "method", "of": owner, "name": value.__name__}
    return None


def describe_error(error: BaseException) -> str:
    try:
        return str.__str__(str(error))
    except Exception:
        return ""


def run_to_end(awaitable: object) -> object:
    """Run a coroutine to its end, also where an event loop is running already."""
    import asyncio  # few tests need it

    async def wait() -> object:
        return await awaitable

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        if not _loops:
            _loops.append(asyncio.new_event_loop())
        return _loops[0].run_until_complete(wait())
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.extend((True, asyncio.run(wait())))
        except BaseException as error:
            outcome.extend((False, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    is_value, value = outcome
    if not is_value:
        raise value
    return value
