"""The solution's side of assert-style tests: does in its own process what the tests ask for."""

import builtins
import types

from verifiers.code import runner
from verifiers.code.peer import Peer, encode_builtin

_FORWARDED = {"iter": iter, "next": next, "len": len, "bool": bool, "str": str, "repr": repr}


class Solution(Peer):
    """The solution's side of the connection: carries out requests on the objects it exported."""

    def encode_other(self, value: object) -> dict[str, object]:
        wire = encode_builtin(value)
        if wire is not None:
            return wire
        wire = {"type": "handle", "id": self.export(value)}
        if isinstance(value, type) and issubclass(value, BaseException):
            bases = [base for base in value.__mro__ if encode_builtin(base)]
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
    """Run the solution's module, then do what the tests ask for until they end."""
    module = runner.run_module(code)
    solution = Solution()
    names = {}
    for name, value in list(module.__dict__.items()):
        is_own = name not in runner.PRELUDE or value is not runner.PRELUDE[name]
        if is_own and not name.startswith("__") and not isinstance(value, types.ModuleType):
            names[name] = solution.encode(value)
    solution.channel.send({"names": names})
    while True:
        try:
            request = solution.channel.receive()
        except EOFError:
            return 0
        solution.answer(request)
