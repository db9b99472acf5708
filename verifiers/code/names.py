"""Decides which names an assert-style test takes from the solution, and which it never takes."""

import ast
import builtins

from verifiers.code.runner import PRELUDE


def split_names(test: dict[str, str]) -> tuple[set[str], set[str]]:
    """Return the names that a test never takes from the solution, and those it takes only from it.

    Python and the usual imports define many names. Such a name comes from the solution only if the
    test asks for it. The test asks for its entry point. A test that uses no other name of the
    solution asks for the function whose value an assert checks (`assert sum(10, 15) == 6`;
    in `abs(factorial(5) - 120) < 1` that is factorial). Otherwise a solution could bring an abs()
    that is always 0, or its own pi.
    """
    given = {*dir(builtins), *PRELUDE}
    if test["entry_point"]:
        tree = ast.parse(test["entry_point"], mode="eval")
        asked = given & {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        return given - asked, asked
    tree = ast.parse(test["test"])
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    if {node.id for node in names} - bound - given:
        return given, set()
    asserts = [node.test for node in tree.body if isinstance(node, ast.Assert)]
    asked = set().union(*map(_find_asked, asserts))
    return given - asked, asked


def _find_asked(expression: ast.expr) -> set[str]:
    """Return the name of the innermost call on the left side, as a set of one or none.

    Names of the usual imports come before Python's own functions, and these before its types:
    `sorted(shuffle(list(range(9))))` asks for shuffle.
    """
    left = expression.left if isinstance(expression, ast.Compare) else expression
    calls = [
        node.func.id
        for node in ast.walk(left)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    imported = [name for name in calls if not hasattr(builtins, name)]
    functions = [name for name in calls if not isinstance(getattr(builtins, name, None), type)]
    return set((imported or functions or calls)[-1:])
