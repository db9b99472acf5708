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
import collections.abc
import types

from verifiers import code_compare, code_json, code_runner
from verifiers.code_names import split_names
from verifiers.code_peer import Peer, encode_builtin

TESTS = 4  # descriptor: JSON of the test
_EQUAL = "__is_equal"  # in the tests' namespace: no name that a solution can bring
_NOT_FORWARDED = "names of Handles that begin with an underscore are not forwarded"


class _Tests(Peer):
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
