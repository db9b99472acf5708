"""Which names an assert-style test takes from the solution, and which never."""

import ast
import builtins
import types

from verifiers.code_runner import PRELUDE


def find_guarded_names(test: dict[str, str]) -> set[str]:
    """Return the names that a test never takes from the solution.

    A name that Python or the usual imports give is the solution's only if it is what the test
    asks for: the entry point, or, where a test uses no other name of the solution's, one of the
    usual imports, or what it calls first on the left (`assert sum(10, 15) == 6`). Else a solution
    could bring an abs() that is always 0.
    """
    prelude = PRELUDE.items()
    given = {*dir(builtins), *(name for name, value in prelude if _is_module(value))}
    usual = {name for name, value in prelude if callable(value)}
    if test["entry_point"]:
        tree = ast.parse(test["entry_point"], mode="eval")
        return (given | usual) - {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    tree = ast.parse(test["test"])
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    if {node.id for node in names} - bound - given - usual:
        return given | usual
    return given - _find_first_calls(tree)


def _is_module(value: object) -> bool:
    return isinstance(value, types.ModuleType)


def _find_first_calls(tree: ast.Module) -> set[str]:
    """Return the names of the functions whose values the asserts compare, on the left."""
    steps = {
        ast.Assert: lambda node: node.test,
        ast.BoolOp: lambda node: node.values[0],
        ast.UnaryOp: lambda node: node.operand,
        ast.Compare: lambda node: node.left,
        ast.Call: lambda node: node.func,
        ast.Attribute: lambda node: node.value,
    }
    names = set()
    for node in tree.body:
        while type(node) in steps:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                names.add(node.func.id)
            node = steps[type(node)](node)
    return names
