"""Changes to the text of a test before it runs beside the solution and not with it."""

import ast
import builtins

IS_EQUAL, TYPE_OF, MAY_SUPPRESS = "__is_equal", "__type_of", "__may_suppress"  # names in the tests


class Rewriter(ast.NodeTransformer):
    """Rewrites the statements of a test.

    `assert f(x) == y` becomes a call that compares as return values are compared, and `type(x)` a
    call that knows the solution's classes. A context manager of the solution may suppress an
    exception only where its block tests nothing: elsewhere it would suppress the failure.
    """

    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        self.generic_visit(node)
        test = node.test
        is_equality = isinstance(test, ast.Compare) and [type(op) for op in test.ops] == [ast.Eq]
        if is_equality and isinstance(test.left, ast.Call):
            node.test = _make_call(IS_EQUAL, test.left, test.comparators[0])
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "type" and len(node.args) == 1:
            return _make_call(TYPE_OF, *node.args)
        return node

    def visit_With(self, node: ast.With) -> ast.With:
        self.generic_visit(node)
        if all(map(_tests_nothing, node.body)):
            for item in node.items:
                item.context_expr = _make_call(MAY_SUPPRESS, item.context_expr)
        return node


def _tests_nothing(statement: ast.stmt) -> bool:
    """Return whether a statement only raises an exception, without any value of the solution."""
    if not isinstance(statement, (ast.Raise, ast.Expr, ast.Pass)):
        return False
    names = [node.id for node in ast.walk(statement) if isinstance(node, ast.Name)]
    return all(hasattr(builtins, name) for name in names)


def _make_call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def rewrite(text: str) -> ast.Module:
    return ast.fix_missing_locations(Rewriter().visit(ast.parse(text)))


def split_script(text: str) -> list[ast.Module]:
    """Return the tests of a script, rewritten: each assert with the statements before it.

    What follows the last assert belongs to it. A script without asserts is one test.
    """
    parts: list[list[ast.stmt]] = [[]]
    for statement in rewrite(text).body:
        parts[-1].append(statement)
        if isinstance(statement, ast.Assert):
            parts.append([])
    rest = parts.pop()
    if not parts:
        return [ast.Module(rest, [])]
    return [ast.Module(part, []) for part in [*parts[:-1], parts[-1] + rest]]
