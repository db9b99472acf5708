"""Decides which names an assert-style test takes from the solution, and which it never takes.

The row decides, never the response. Names that neither the test nor Python nor the usual imports
define come from the solution. A name that Python or the usual imports define as well comes from
the solution where the test cannot mean another: where nothing else in a statement is the
solution's (`r = gcd(3, 4)`), and where its value only goes into the solution (`f(M + 1)`). Where
it judges a value of the solution (`abs(f(1) - 6) < 1e-9`, `isclose(f(1), 6)`, `f(1) == inf`), or
decides whether a check runs (`for x in range(9): assert f(x)`, `assert len(x) or f(1)`), it
never does: a solution could bring an abs() that is always 0, or its own pi.
"""

import ast
import builtins
import sys
from dataclasses import dataclass, field

from verifiers.code.runner import PRELUDE

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_MAKERS = {ast.Assign: "value", ast.Expr: "value", ast.withitem: "context_expr", ast.For: "iter"}
_BRANCHES = (ast.For, ast.AsyncFor, ast.While, ast.If, ast.Match)


_TEXTUAL = set("__import__ compile eval exec getattr globals hasattr locals vars".split())
_NEVER = {name for name in dir(builtins) if name.startswith("_")} | {
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}


@dataclass
class TestNames:
    """The names of a test."""

    wanted: set[str] = field(default_factory=set)  # from the solution, where it defines them
    required: set[str] = field(default_factory=set)  # of these, never Python's own
    judging: set[str] = field(default_factory=set)  # variables that the solution must not see


def split_names(test: dict[str, str]) -> TestNames:
    """Return the names of a test: whose they are."""
    trees = [ast.parse(test[part]) for part in ("imports", "setup", "test")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    nodes += [inner for node in nodes for inner in _read_text(node)]
    bound = set().union(*map(_find_bound, trees))
    given = {*dir(builtins), *PRELUDE, "np", "numpy", *_list_star_names(nodes)} - bound
    asked = {node.id for node in nodes if _is_load(node)} - bound - given
    asked = {name for name in asked if not name.startswith("__")}
    imports = [n for n in nodes if isinstance(n, ast.ImportFrom) and n.module == "solution"]
    asked |= {alias.name for node in imports for alias in node.names}
    if test["entry_point"]:
        entry = ast.parse(test["entry_point"], mode="eval")
        asked |= {node.id for node in ast.walk(entry) if isinstance(node, ast.Name)}
    if not asked:  # it tests a function that bears a name of Python's
        asked = _find_tested(trees, given)
    reading = _Reading(given - asked, asked)
    for tree in trees:
        reading.read(tree.body)
    harmless = (reading.seen & given) - reading.blocked - _NEVER
    return TestNames(asked | harmless, asked, reading.judging & bound)


def _is_conjunction(statement: ast.stmt) -> bool:
    """Return whether a statement asserts several things, all of which must hold."""
    test = statement.test if isinstance(statement, ast.Assert) else None
    return isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And)


def _is_load(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)


def _list_star_names(nodes: list[ast.AST]) -> set[str]:
    """Return the names that `from operator import *` and the like define in a test."""
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    modules = [node.module for node in imports if any(alias.name == "*" for alias in node.names)]
    loaded = [sys.modules[module] for module in modules if module in sys.modules]
    return {name for module in loaded for name in dir(module) if not name.startswith("_")}


def _read_text(node: ast.AST) -> list[ast.AST]:
    """Return the nodes of a program that a test holds as text: `eval("f(1)")`."""
    if not (_is_call_with_text(node) and node.args and node.func.id in ("eval", "exec")):
        return []
    try:
        return list(ast.walk(ast.parse(node.args[0].value)))
    except (SyntaxError, ValueError):
        return []


def _is_call_with_text(node: ast.AST) -> bool:
    """Return whether a node is eval("..."), getattr(x, "..."), globals() or the like."""
    is_call = isinstance(node, ast.Call) and _is_load(node.func) and node.func.id in _TEXTUAL
    texts = [a for a in node.args if isinstance(a, ast.Constant)] if is_call else []
    return is_call and (not node.args or any(isinstance(a.value, str) for a in texts))


def _find_bound(tree: ast.AST) -> set[str]:
    """Return the names that a test defines itself, anywhere in it."""
    bound = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, _DEFINITIONS):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.ImportFrom) and node.module == "solution":
            continue
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            bound |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return bound


class _Reading:
    """Follows the values of names through the statements of a test.

    Args:
        given: names that Python or the usual imports define, and the test does not.
        asked: names that come from the solution.
    """

    def __init__(self, given: set[str], asked: set[str]) -> None:
        self.given, self.asked = given, asked
        self.origins: dict[str, set[str]] = {}  # variable: names that its value comes from
        self.sources: dict[str, set[str]] = {}  # variable: variables that its value comes from
        self.blocked: set[str] = set()  # given names that judge
        self.seen: set[str] = set()
        self.judging: set[str] = set()  # variables that are compared with the solution's values

    def read(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            if isinstance(statement, _DEFINITIONS):
                self._read_definition(statement)
            elif _is_conjunction(statement):
                self.read([ast.Assert(part, statement.msg) for part in statement.test.values])
            elif not self._is_plain_call(statement):
                self._read_statement(statement)

    def _is_plain_call(self, statement: ast.stmt) -> bool:
        """Return whether a statement does no more than to call a function of the test."""
        call = statement.value if isinstance(statement, ast.Expr) else None
        is_call = isinstance(call, ast.Call) and not call.args and isinstance(call.func, ast.Name)
        return is_call and call.func.id in self.origins

    def _read_statement(self, statement: ast.stmt) -> None:
        kinds = (ast.expr, ast.withitem, ast.keyword)
        parts = [node for node in ast.iter_child_nodes(statement) if isinstance(node, kinds)]
        kept = [name for part in parts for name in self._list_judging(part)]
        origins = self._trace(kept)
        nodes = [node for part in parts for node in ast.walk(part)]
        self.seen |= {node.id for node in nodes if _is_load(node)}
        self.blocked |= {node.func.id for node in nodes if _is_call_with_text(node)}
        if isinstance(statement, _BRANCHES):  # it decides whether a check is run at all
            self.blocked |= origins & self.given
        if origins & self.asked:
            self.blocked |= origins & self.given
            self.judging |= self._find_sources(kept)
        changed = [node.id for node in nodes if isinstance(node, ast.Name) and not _is_load(node)]
        if isinstance(statement, ast.Expr):  # expected.append(factorial(5))
            changed = [name for name in kept if name in self.origins][:1]
        for target in getattr(statement, "targets", []):  # expected[0] = factorial(5)
            changed += [node.id for node in ast.walk(target) if isinstance(node, ast.Name)]
        self._taint([node for node in nodes if isinstance(node, ast.Call)])
        for name in changed:
            self.origins[name] = self.origins.get(name, set()) | origins
            self.sources[name] = self.sources.get(name, set()) | self._find_sources(kept)
        for node in ast.iter_child_nodes(statement):
            if isinstance(node, ast.stmt):
                self.read([node])
            elif isinstance(node, ast.ExceptHandler):
                if node.name:
                    self.origins[node.name] = set(self.asked)
                self.seen |= {n.id for n in ast.walk(node.type or node) if _is_load(n)}
                self.read(node.body)
            elif isinstance(node, ast.match_case):
                captured = [getattr(part, "name", None) for part in ast.walk(node.pattern)]
                self.origins.update(dict.fromkeys(filter(None, captured), set(self.asked)))
                self.read(node.body)

    def _taint(self, calls: list[ast.Call]) -> None:
        """Take note that the solution may have changed the variables in its arguments."""
        for call in calls:
            if self._is_solution(call.func):
                values = [*call.args, *(keyword.value for keyword in call.keywords)]
                names = {n.id for v in values for n in ast.walk(v) if isinstance(n, ast.Name)}
                for name in names & set(self.origins):
                    self.origins[name] = self.origins[name] | self.asked

    def _find_sources(self, names: list[str]) -> set[str]:
        return set(names).union(*[self.sources.get(name, set()) for name in names])

    def _trace(self, names: list[str]) -> set[str]:
        return set().union(*[self.origins.get(name, {name}) for name in names])

    def _read_definition(self, definition: ast.stmt) -> None:
        """Read the body of a function or class that a test defines.

        The parameters may be values of the solution, so names beside them judge.
        """
        own = {node.arg for node in ast.walk(definition) if isinstance(node, ast.arg)}
        inner = _Reading(self.given, self.asked | own)
        inner.origins = {name: o for name, o in self.origins.items() if name not in own}
        inner.sources = dict(self.sources)
        inner.read(definition.body)
        self.blocked |= inner.blocked
        self.judging |= inner.judging
        self.seen |= inner.seen
        for name in set(inner.origins) & set(self.origins) - own:  # results.append(x)
            more = self.asked if inner.origins[name] & own else set()
            self.origins[name] = self.origins[name] | (inner.origins[name] - own) | more
        used = [name for node in definition.body for name in self._list_judging(node)]
        self.origins[definition.name] = self._trace(used) - own
        self.sources[definition.name] = self._find_sources(used) - own

    def _list_judging(self, node: ast.AST) -> list[str]:
        """Return the names in an expression, without those in the arguments of the solution."""
        if isinstance(node, ast.Name):
            return [node.id] if _is_load(node) else []
        if isinstance(node, ast.Call) and self._is_solution(node.func):
            return self._list_judging(node.func)
        names = [n for child in ast.iter_child_nodes(node) for n in self._list_judging(child)]
        if isinstance(node, ast.Lambda):
            own = {argument.arg for argument in ast.walk(node) if isinstance(argument, ast.arg)}
            if own & set(names):  # values of the solution, for all we know
                self.blocked |= self._trace(names) & self.given
            return [name for name in names if name not in own]
        return names

    def _is_solution(self, function: ast.expr) -> bool:
        """Return whether a call surely is one of the solution: f(...), Solution().f(...).

        A method of another value may be one of Python's: `f(1).count(pi)`.
        """
        if isinstance(function, ast.Name):
            origins = self._trace([function.id])
            return bool(origins) and origins <= self.asked
        if not isinstance(function, ast.Attribute):
            return False
        owner = function.value.func if isinstance(function.value, ast.Call) else function.value
        origins = self._trace([owner.id]) if isinstance(owner, ast.Name) else {""}
        is_asked = bool(origins) and origins <= self.asked
        return is_asked and all(name[:1].isupper() for name in origins)


def _find_tested(trees: list[ast.AST], given: set[str]) -> set[str]:
    """Return which given names a test is about that names nothing else of a solution.

    These are the functions that its asserts call, and those that made the variables in them: mean,
    not abs, in `m = mean([1, 3])` and `assert abs(m - 2) < 1e-9`.
    Names of the usual imports come before Python's own functions, and these before its types:
    `sorted(shuffle(list(range(9))))` asks for shuffle.
    """
    nodes = [node for tree in trees for node in ast.walk(tree)]
    tested: set[str] = set()
    for node in nodes:
        for part in _split(node.test) if isinstance(node, ast.Assert) else []:
            variables = {n.id for n in ast.walk(part) if _is_load(n)}
            makers = [n for n in nodes if isinstance(n, tuple(_MAKERS))]
            tested |= _find_innermost(part, given).union(
                *[
                    _find_innermost(getattr(maker, _MAKERS[type(maker)]), given)
                    for maker in makers
                    if variables & {n.id for n in ast.walk(maker) if isinstance(n, ast.Name)}
                ]
            )
    best = min(map(_rank, tested), default=0)
    return {name for name in tested if _rank(name) == best}


def _split(test: ast.expr) -> list[ast.expr]:
    """Return the parts of a condition that show what it tests: left sides of comparisons."""
    if isinstance(test, ast.BoolOp):
        return [part for value in test.values for part in _split(value)]
    if isinstance(test, ast.UnaryOp):
        return _split(test.operand)
    if isinstance(test, ast.Compare) and isinstance(test.left, ast.Constant):
        return [test.comparators[0]]
    return [test.left if isinstance(test, ast.Compare) else test]


def _find_innermost(expression: ast.expr, given: set[str]) -> set[str]:
    """Return the innermost call of a given name of the best rank, as a set of one or none.

    In `abs(factorial(5) - 120)` that is factorial. Without any call, it may be a constant.
    """
    nodes = list(ast.walk(expression))
    calls = [
        node.func.id
        for node in nodes
        if isinstance(node, ast.Call) and _is_load(node.func) and not _is_call_with_text(node)
    ]
    names = [name for name in calls if name in given]
    if not names:
        names = [n.id for n in nodes if _is_load(n) and n.id in given and _rank(n.id) == 0]
    best = min(map(_rank, names), default=0)
    return set([name for name in names if _rank(name) == best][-1:])


def _rank(name: str) -> int:
    if not hasattr(builtins, name):
        return 0
    return 2 if isinstance(getattr(builtins, name), type) else 1
