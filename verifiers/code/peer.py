"""What the process of assert-style tests and the process of the solution have in common.

Messages are lines of JSON. A call brings back the value and the changes to its arguments. The two
sides are asserts.py and solution.py.
"""

import builtins
import collections
import types

from verifiers.code import json_text, values

CHANNEL = 3  # descriptor of the socket to the other process
_BUILTIN_KINDS = (type, types.BuiltinFunctionType)


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
    """What both sides do: ask, answer and translate values."""

    def __init__(self) -> None:
        self.channel = _Channel()
        self.exported: list[object] = []
        self._numbers: dict[int, int] = {}  # id() of an exported object: its index in the list

    def export(self, value: object) -> int:
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self.exported)
            self.exported.append(value)
        return self._numbers[id(value)]

    def encode(self, value: object) -> object:
        return values.encode(value, self.encode_other)

    def decode(self, wire: object) -> object:
        return values.decode(wire, self.decode_other)

    def ask(self, operation: str, **details: object) -> dict:
        """Send a request and return the reply; answer what the other side asks meanwhile."""
        self.channel.send({"operation": operation, **details})
        while True:
            message = self.channel.receive()
            if "operation" not in message:
                return message
            self.answer(message)

    def answer(self, request: dict) -> None:
        try:
            reply = self.perform(request)
        except BaseException as error:  # the caller must see sys.exit too
            reply = {"error": self.encode(type(error)), "text": _describe(error)}
        self.channel.send(reply)

    def call(self, target: int, arguments: tuple, keywords: dict) -> object:
        """Call a function of the other process; copy its changes to the arguments back."""
        wires = [self.encode(value) for value in arguments]
        keyword_wires = {name: self.encode(value) for name, value in keywords.items()}
        reply = self.ask("call", target=target, arguments=wires, keywords=keyword_wires)
        passed = {**{str(at): value for at, value in enumerate(arguments)}, **keywords}
        for name, wire in reply.get("changed", {}).items():
            _overwrite(passed[name], self.decode(wire))
        return passed[reply["same"]] if reply.get("same") in passed else self.take(reply)

    def take(self, reply: dict, may_stop: bool = False) -> object:
        """Return the value of a reply, or raise its exception."""
        if "error" not in reply:
            return self.decode(reply["value"])
        kind = self.decode(reply["error"])
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            kind = RuntimeError
        if issubclass(kind, StopIteration) and not may_stop:  # it would end a loop in the tests
            kind = RuntimeError
        try:
            error = kind(reply["text"])
        except TypeError:  # this class takes other arguments
            error = RuntimeError(reply["text"])
        raise error

    def perform_call(self, function: object, request: dict) -> dict:
        arguments = [self.decode(wire) for wire in request["arguments"]]
        keywords = {name: self.decode(wire) for name, wire in request["keywords"].items()}
        value_returned = function(*arguments, **keywords)
        reply = {"value": self.encode(value_returned), "changed": {}}
        passed = [(str(at), value) for at, value in enumerate(arguments)] + list(keywords.items())
        sent = request["arguments"] + list(request["keywords"].values())
        for (name, argument), wire in zip(passed, sent):
            if isinstance(wire, (list, dict)) and self.encode(argument) != wire:
                reply["changed"][name] = self.encode(argument)
            if isinstance(wire, (list, dict)) and argument is value_returned:
                reply["same"] = name  # the argument itself came back
        return reply


def _describe(error: BaseException) -> str:
    try:
        return str.__str__(str(error))
    except Exception:
        return ""


def _overwrite(original: object, changed: object) -> None:
    """Replace the content of a mutable value of Python's own types by that of another."""
    if type(original) is not type(changed):
        return
    if isinstance(original, (list, bytearray)):
        original[:] = changed
    elif isinstance(original, (dict, set)):
        original.clear()
        original.update(changed)
    elif isinstance(original, collections.deque):
        original.clear()
        original.extend(changed)
    elif type(original).__name__ == "ndarray" and original.shape == changed.shape:
        original[...] = changed


def encode_builtin(value: object) -> dict[str, str] | None:
    """Return a reference to a built-in class or function; None if the value is not one."""
    name = getattr(value, "__name__", None) if isinstance(value, _BUILTIN_KINDS) else None
    if isinstance(name, str) and getattr(builtins, name, None) is value:
        return {"type": "builtin", "name": name}
    return None
