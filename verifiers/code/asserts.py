"""The tests' side of assert-style tests: runs the tests, without the solution in its process.

The solution runs in another process (solution.py); only plain data passes between the two. In the
process of the tests, stand-ins take the place of the solution's names: a call sends the arguments
over and brings the value back. Objects without a plain form stay with the solution, and a Handle
refers to them. So `==` is always evaluated where the solution has no influence: values there are
of Python's own types, and two Handles are equal only if they are the same object. Comparisons,
arithmetic and conversions of Handles are not forwarded, because the solution would then judge
itself.

The solution keeps influence on what a test leaves to it: its own helpers that a test calls, the
state of the arguments after a call (in-place changes are copied back), the order and number of
the items of its iterators, and the truth value of its own objects. Two kinds of tests are not
supported and fail: those that hand over objects of classes they define themselves, and those that
compare by a solution's own __eq__.
"""

import ast
import builtins
import collections.abc
import types

from verifiers.code import compare, json_text, runner
from verifiers.code.names import split_names
from verifiers.code.peer import Peer, encode_builtin

TESTS = 4  # descriptor of a file with the JSON of the test
_EQUAL = "__is_equal"  # in the tests' namespace; a solution cannot bring this name
_NOT_FORWARDED = "names that begin with an underscore are not forwarded to the solution"


class _Tests(Peer):
    """The tests' side of the connection: knows the solution's objects by Handles."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[int, object] = {}  # number of a Handle: the one object for it

    def encode_other(self, value: object) -> dict[str, object]:
        if type(value) is Handle:
            return {"type": "handle", "id": value._number}
        for number, known in self._known.items():
            if known is value:  # an exception class
                return {"type": "handle", "id": number}
        wire = encode_builtin(value)
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
        """Call a function that a test has handed over. A solution may ask for nothing else."""
        return self.perform_call(self.exported[request["target"]], request)


class Handle:
    """Stands for an object of the solution in the process of the tests."""

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
    """Turns `assert f(x) == y` into a call of _is_equal, the equality of return values."""

    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        test = node.test
        is_equality = isinstance(test, ast.Compare) and [type(op) for op in test.ops] == [ast.Eq]
        if is_equality and isinstance(test.left, ast.Call):
            function = ast.Name(_EQUAL, ast.Load())
            node.test = ast.Call(function, [test.left, test.comparators[0]], [])
        return node


def _is_equal(value: object, expected: object) -> bool:
    """Compare as == does, or as return values are compared: lists equal tuples, floats to 1e-5."""
    return bool(value == expected) or _is_same(value, expected)


def _is_same(value: object, expected: object) -> bool:
    kinds = {type(value), type(expected)}
    if kinds <= {list, tuple}:
        return len(value) == len(expected) and all(map(_is_same, value, expected))
    if kinds == {dict}:
        same_keys = value.keys() == expected.keys()
        return same_keys and all(_is_same(value[key], expected[key]) for key in expected)
    if kinds <= {int, float}:
        return compare.is_same_value(value, expected)
    return len(kinds) == 1 and bool(value == expected)


def _raise_not_defined(*arguments: object, **keywords: object) -> None:
    raise NameError("the solution does not define what the test asks for")


def run_tests() -> int:
    """Run one test against the solution in the other process; return 0 if it passes."""
    with open(TESTS, "rb", closefd=False) as file:
        test = json_text.load_trusted_json(file.read())
    peer = _Tests()
    module = runner.run_module(compile("", "tests", "exec"))
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
