"""What of a test the solution may have: imports and classes of its set-up, variables of it."""

import ast

from verifiers.code.names import split_names

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_SMALL = (None, 0, 1, -1, "", True, False)


def write_prelude(test: dict[str, str]) -> tuple[list[str], list[str]]:
    """Return the statements that the solution starts with, and the classes that both sides have.

    These are the imports and classes of a row's imports and set-up, such as ListNode. A class that
    compares something with a value of its own may hold an expected value, and is left out.
    """
    body = [node for part in ("imports", "setup") for node in ast.parse(test[part]).body]
    classes = [n for n in body if isinstance(n, ast.ClassDef) and not _holds_expected_value(n)]
    imports = [node for node in body if isinstance(node, (ast.Import, ast.ImportFrom))]
    return [ast.unparse(node) for node in imports + classes], [node.name for node in classes]


def _holds_expected_value(definition: ast.ClassDef) -> bool:
    constants = [
        node.value
        for comparison in ast.walk(definition)
        if isinstance(comparison, (ast.Compare, ast.Assert))
        for node in ast.walk(comparison)
        if isinstance(node, ast.Constant)
    ]
    return any(not _is_small(value) for value in constants)


def _is_small(value: object) -> bool:
    return any(value is small or value == small for small in _SMALL)


def list_visible(test: dict[str, str]) -> set[str]:
    """Return the variables and functions of a row's set-up."""
    names = set()
    for part in ("imports", "setup"):
        for node in ast.parse(test[part]).body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                names.add(node.name)
            elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
                stored = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
                names |= {n.id for n in stored if isinstance(n.ctx, ast.Store)}
    return names


def list_test_functions(test: str) -> list[str]:
    """Return the functions test...() that a test defines and never calls, as pytest finds them."""
    tree = ast.parse(test)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test")
        and node.name not in used
        and not ast.unparse(node.args)
    ]


def asks_something(test: str, entry_point: str) -> bool:
    """Return whether running a test asserts, raises or calls something."""
    tree = ast.parse(test)
    called = [*list_test_functions(test), "check"] if entry_point else list_test_functions(test)
    run = [node for node in tree.body if not isinstance(node, _DEFINITIONS)]
    run += [node for node in tree.body if getattr(node, "name", "") in called]
    run += [node for node in tree.body if isinstance(node, ast.ClassDef) and node.bases]
    asking = (ast.Assert, ast.Raise, ast.Call)
    return any(isinstance(node, asking) for statement in run for node in ast.walk(statement))


def find_fault(test: dict[str, str]) -> str:
    """Return why a test cannot be judged beside the solution; "" if it can.

    A class of the test that derives from one of the solution would run in both processes. Of a
    function with asserts that is handed over, the solution decides whether it is called.
    """
    trees = [ast.parse(test[part]) for part in ("imports", "setup", "test")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    functions = [n for n in nodes if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    derived = [node for node in nodes if isinstance(node, ast.ClassDef) and node.bases]
    asserting = {n.name for n in functions if any(isinstance(i, ast.Assert) for i in ast.walk(n))}
    if not derived and not asserting:
        return ""
    asked = split_names(test).required
    for node in derived:
        for base in sorted(_list_names(node.bases) & asked):
            return f"has a test that derives class {node.name} from the solution's {base}"
    calls = [n for n in nodes if isinstance(n, ast.Call) and _list_names([n.func]) & asked]
    handed = set().union(*[_find_handed(argument) for call in calls for argument in call.args])
    handed |= {n.name for n in functions if _list_names(n.decorator_list) & asked}
    for name in sorted(handed & asserting):
        return f"has a test that hands {name}, a function with asserts, to the solution"
    return ""


def _find_handed(argument: ast.expr) -> set[str]:
    """Return the names in an argument, without those of functions whose value is the argument."""
    if isinstance(argument, ast.Lambda):
        return _list_names([argument])
    parts = list(ast.iter_child_nodes(argument))
    if isinstance(argument, ast.Call) and isinstance(argument.func, ast.Name):
        parts.remove(argument.func)
    own = {argument.id} if isinstance(argument, ast.Name) else set()
    return own.union(*map(_find_handed, parts))


def _list_names(nodes: list[ast.AST]) -> set[str]:
    return {n.id for node in nodes for n in ast.walk(node) if isinstance(n, ast.Name)}
