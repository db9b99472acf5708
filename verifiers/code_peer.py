"""Assert-style tests in one process, the solution in another, plain data between them.

In the process of the tests, the solution's names are stand-ins: a call sends the arguments over
and brings the value back. Objects with no plain form stay with the solution and are known by
a Handle. So `==` is always evaluated where the solution has no hand: values are of Python's own
types there, and Handles are equal only if they are the same object. Comparisons, arithmetic and
conversions of Handles are not forwarded, as they would let the solution judge itself.

What remains in the solution's hand is what a test leaves to it: helpers of its own that a test
calls, the state of the arguments after a call (in-place changes are copied back), the order and
number of the items of its iterators, and the truth value of its own objects. Tests that hand
over objects of classes they define themselves, or that compare by a solution's own __eq__, are
not supported and fail.
"""

import ast
import builtins
import collections
import collections.abc
import types

from verifiers import code_compare, code_json, code_runner, code_values
from verifiers.code_names import split_names

CHANNEL, TESTS = 3, 4  # descriptors: to the other process; JSON of the test
_BUILTIN_KINDS = (type, types.BuiltinFunctionType)
_FORWARDED = {"iter": iter, "next": next, "len": len, "bool": bool, "str": str, "repr": repr}
_EQUAL = "__is_equal"  # in the tests' namespace: no name that a solution can bring
_NOT_FORWARDED = "names of Handles that begin with an underscore are not forwarded"


class _Channel:
    """Messages to and from the other process, a line of JSON each."""

    def __init__(self) -> None:
        self._incoming = open(CHANNEL, "rb", closefd=False)
        self._outgoing = open(CHANNEL, "wb", closefd=False)

    def send(self, message: dict) -> None:
        self._outgoing.write(code_json.dump_json(message).encode() + b"\n")
        self._outgoing.flush()

    def receive(self) -> dict:
        line = self._incoming.readline()
        if not line.endswith(b"\n"):
            raise EOFError("the other process has ended")
        return code_json.load_trusted_json(line)


class _Peer:
    """What both processes do: ask, answer, and translate values."""

    def __init__(self) -> None:
        self.channel = _Channel()
        self.exported: list[object] = []
        self._numbers: dict[int, int] = {}  # id() of an exported object: its place in the list

    def export(self, value: object) -> int:
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self.exported)
            self.exported.append(value)
        return self._numbers[id(value)]

    def encode(self, value: object) -> object:
        return code_values.encode(value, self.encode_other)

    def decode(self, wire: object) -> object:
        return code_values.decode(wire, self.decode_other)

    def ask(self, operation: str, **details: object) -> dict:
        """Send a request and return the reply, answering what the other asks meanwhile."""
        self.channel.send({"operation": operation, **details})
        while True:
            message = self.channel.receive()
            if "operation" not in message:
                return message
            self.answer(message)

    def answer(self, request: dict) -> None:
        try:
            reply = self.perform(request)
        except BaseException as error:  # sys.exit in a function is the caller's to see
            reply = {"error": self.encode(type(error)), "text": _describe(error)}
        self.channel.send(reply)

    def call(self, target: int, arguments: tuple, keywords: dict) -> object:
        """Call a function of the other process; its changes of the arguments are copied back."""
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
        if issubclass(kind, StopIteration) and not may_stop:  # it would end a loop of the tests
            kind = RuntimeError
        try:
            error = kind(reply["text"])
        except TypeError:  # some take other arguments
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
    """Give a mutable value of Python's own types the content of another."""
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


def _encode_builtin(value: object) -> dict[str, str] | None:
    """Return the reference to a built-in class or function, if the value is one."""
    name = getattr(value, "__name__", None) if isinstance(value, _BUILTIN_KINDS) else None
    if isinstance(name, str) and getattr(builtins, name, None) is value:
        return {"type": "builtin", "name": name}
    return None


class _Solution(_Peer):
    """The side of the solution: does what it is asked with the objects that it has exported."""

    def encode_other(self, value: object) -> dict[str, object]:
        wire = _encode_builtin(value)
        if wire is not None:
            return wire
        wire = {"type": "handle", "id": self.export(value)}
        if isinstance(value, type) and issubclass(value, BaseException):
            bases = [base for base in value.__mro__ if _encode_builtin(base)]
            return {**wire, "name": value.__name__, "base": bases[0].__name__}
        return wire

    def decode_other(self, wire: dict) -> object:
        if wire["type"] == "handle":
            return self.exported[wire["id"]]
        if wire["type"] == "builtin":
            return getattr(builtins, wire["name"])
        if wire["type"] == "iterator":
            return iter([self.decode(item) for item in wire["items"]])
        number = wire["id"]
        return lambda *arguments, **keywords: self.call(number, arguments, keywords)

    def perform(self, request: dict) -> dict:
        target = self.exported[request["target"]]
        operation = request["operation"]
        if operation == "call":
            return self.perform_call(target, request)
        if operation == "getattr":
            value = getattr(target, request["name"])
        elif operation == "setattr":
            value = setattr(target, request["name"], self.decode(request["value"]))
        elif operation == "getitem":
            value = target[self.decode(request["key"])]
        elif operation == "isinstance":
            value = isinstance(self.exported[request["other"]], target)
        else:
            value = _FORWARDED[operation](target)
        return {"value": self.encode(value)}


def serve_solution(code: types.CodeType) -> int:
    """Run the solution's module and do what the tests ask for, until they have ended."""
    module = code_runner.run_module(code)
    solution = _Solution()
    names = {}
    for name, value in list(module.__dict__.items()):
        is_own = name not in code_runner.PRELUDE or value is not code_runner.PRELUDE[name]
        if is_own and not name.startswith("__") and not isinstance(value, types.ModuleType):
            names[name] = solution.encode(value)
    solution.channel.send({"names": names})
    while True:
        try:
            request = solution.channel.receive()
        except EOFError:
            return 0
        solution.answer(request)


class _Tests(_Peer):
    """The side of the tests: knows the solution's objects by Handles."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[int, object] = {}  # the number of a Handle: the one object for it

    def encode_other(self, value: object) -> dict[str, object]:
        if type(value) is Handle:
            return {"type": "handle", "id": value._number}
        for number, known in self._known.items():
            if known is value:  # an exception class
                return {"type": "handle", "id": number}
        wire = _encode_builtin(value)
        if (
            wire is None
            and isinstance(value, collections.abc.Iterator)
            and type(value) is not Handle
        ):
            wire = {"type": "iterator", "items": [self.encode(item) for item in value]}
        if wire is None and isinstance(value, types.FunctionType):
            wire = {"type": "callback", "id": self.export(value)}
        if wire is None:
            raise TypeError(f"a {type(value).__name__} cannot be handed to the solution")
        return wire

    def decode_other(self, wire: dict) -> object:
        if wire["type"] == "builtin":
            value = getattr(builtins, wire["name"])
            if not isinstance(value, type):
                raise TypeError("the solution returned a built-in function")
            return value
        number = wire["id"]
        if number not in self._known:
            if "base" in wire:
                base = getattr(builtins, wire["base"])
                if not issubclass(base, BaseException):
                    raise TypeError("the solution sent a class that is no exception")
                self._known[number] = type(wire["name"], (base,), {})
            else:
                self._known[number] = Handle(self, number)
        return self._known[number]

    def perform(self, request: dict) -> dict:
        """Call a function that a test has handed over: all that a solution may ask for."""
        return self.perform_call(self.exported[request["target"]], request)


class Handle:
    """An object of the solution's, in the process of the tests."""

    __slots__ = ("_peer", "_number")

    def __init__(self, peer: _Tests, number: int) -> None:
        object.__setattr__(self, "_peer", peer)
        object.__setattr__(self, "_number", number)

    def _ask(self, operation: str, **details: object) -> object:
        peer = self._peer
        reply = peer.ask(operation, target=self._number, **details)
        return peer.take(reply, may_stop=operation == "next")

    def __call__(self, *arguments: object, **keywords: object) -> object:
        return self._peer.call(self._number, arguments, keywords)

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(f"{name}: {_NOT_FORWARDED}")
        return self._ask("getattr", name=name)

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("_"):
            raise AttributeError(f"{name}: {_NOT_FORWARDED}")
        self._ask("setattr", name=name, value=self._peer.encode(value))

    def __getitem__(self, key: object) -> object:
        return self._ask("getitem", key=self._peer.encode(key))

    def __iter__(self) -> object:
        return self._ask("iter")

    def __next__(self) -> object:
        return self._ask("next")

    def __len__(self) -> int:
        return self._ask("len")

    def __bool__(self) -> bool:
        return self._ask("bool")

    def __str__(self) -> str:
        return self._ask("str")

    def __repr__(self) -> str:
        return self._ask("repr")

    def __instancecheck__(self, value: object) -> bool:
        return type(value) is Handle and self._ask("isinstance", other=value._number)


class _Equalities(ast.NodeTransformer):
    """Turns `assert f(x) == y` into a call of _is_equal: the equality of return values."""

    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        test = node.test
        is_equality = isinstance(test, ast.Compare) and [type(op) for op in test.ops] == [ast.Eq]
        if is_equality and isinstance(test.left, ast.Call):
            function = ast.Name(_EQUAL, ast.Load())
            node.test = ast.Call(function, [test.left, test.comparators[0]], [])
        return node


def _is_equal(value: object, expected: object) -> bool:
    """Compare as == does, or as return values are: lists as tuples, floats within 1e-5 relative."""
    return bool(value == expected) or _is_same(value, expected)


def _is_same(value: object, expected: object) -> bool:
    kinds = {type(value), type(expected)}
    if kinds <= {list, tuple}:
        return len(value) == len(expected) and all(map(_is_same, value, expected))
    if kinds == {dict}:
        same_keys = value.keys() == expected.keys()
        return same_keys and all(_is_same(value[key], expected[key]) for key in expected)
    if kinds <= {int, float}:
        return code_compare.is_same_value(value, expected)
    return len(kinds) == 1 and bool(value == expected)


def _raise_not_defined(*arguments: object, **keywords: object) -> None:
    raise NameError("the solution does not define what the test asks for")


def run_tests() -> int:
    """Run one test against the solution in the other process; 0 if it passes."""
    with open(TESTS, "rb", closefd=False) as file:
        test = code_json.load_trusted_json(file.read())
    peer = _Tests()
    module = code_runner.run_module(compile("", "tests", "exec"))
    names = module.__dict__
    guarded, asked = split_names(test)
    for name, wire in peer.channel.receive()["names"].items():
        if name not in guarded and not name.startswith("__"):
            names[name] = peer.decode(wire)
        asked.discard(name)
    names.update(dict.fromkeys(asked, _raise_not_defined))
    names[_EQUAL] = _is_equal
    for part in ("imports", "setup", "test"):
        tree = ast.fix_missing_locations(_Equalities().visit(ast.parse(test[part])))
        exec(compile(tree, part, "exec", optimize=0, dont_inherit=True), names)
    if test["entry_point"]:
        names["check"](eval(test["entry_point"], names))
    return 0
