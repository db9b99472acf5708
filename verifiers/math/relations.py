"""Equations and inequalities: x = 5, y = -2x, 2 <= x < 5, -x > -1, x + y < 1."""

import re
from collections.abc import Callable

from verifiers.math import expression
from verifiers.math import expression_equality as equality
from verifiers.math.answer_equality import same
from verifiers.math.brackets import find_top_level, split_top_level
from verifiers.math.expression import TooHard, Tree, number
from verifiers.math.kinds import Answer, Named, Piece, Reals, Relation, Scalar
from verifiers.math.parser import parse_expression
from verifiers.math.reals import (
    ALL_REALS,
    INFINITY,
    MINUS_INFINITY,
    intersect,
    point,
    subtract,
    unite,
)
from verifiers.math.tokens import ParseError
from verifiers.math.words import canonical_name, is_name

_RELATION = re.compile(
    r"\\leq(?![a-z])|\\geq(?![a-z])|\\neq(?![a-z])|[<>]|(?<![<>])=|\\equiv(?![a-z])"
)
_FUNCTION_VALUE = re.compile(r"^[A-Za-z] ?\( ?[A-Za-z] ?\)$")
_PROBES = (0, 1, 2, 7, 100)  # points at which a difference is evaluated to see whether it is linear


def read_relation(text: str, read: Callable[[str], Answer]) -> Answer | None:
    """Return an equation, an inequality or a chain of them; None if the text is none of these.

    Args:
        read: reads the text on one side.

    Raises:
        ParseError: the relations are mixed, chained in two directions, or false.
    """
    parts = split_top_level(text, _RELATION)
    if len(parts) == 1:
        return None
    operators = find_top_level(text, _RELATION)
    parts = [part.strip() for part in parts]
    if set(operators) == {"="}:
        return _read_equation(parts, read)
    if "\\equiv" in operators or "=" in operators or not all(parts):
        raise ParseError("mixed relations")
    trees = [_parse_side(part) for part in parts]
    bars = _read_bars(trees, operators)
    if bars:
        return bars
    symbolic = [i for i, tree in enumerate(trees) if tree[0] == "symbol"]
    for position in set(symbolic) - {i for i in symbolic if trees[i][1] in ("i", "e", "\\pi")}:
        others = [tree for i, tree in enumerate(trees) if i != position]
        bounds = frozenset().union(*map(expression.symbols, others))
        if position == 1 and len(trees) == 3 and trees[1][1] not in bounds:
            return _inequality_to_reals(trees, operators, position)
        if len(trees) == 2 and not bounds - {"e", "\\pi"}:
            return _inequality_to_reals(trees, operators, position)
    if len(trees) != 2:
        raise ParseError("a chain of relations")
    left, right = trees
    if operators[0] in (">", "\\geq"):
        left, right = right, left
    operator = {">": "<", "\\geq": "\\leq"}.get(operators[0], operators[0])
    return _solve_linear(operator, ("add", left, ("mul", number(-1), right)))


def _parse_side(text: str) -> Tree:
    """Return a side of an inequality; f(x) is a quantity of its own."""
    return ("symbol", text) if _FUNCTION_VALUE.match(text) else parse_expression(text)


def _read_bars(trees: list[Tree], operators: list[str]) -> Reals | None:
    """Return the values of x in |x| < 2 or 1 <= |x| <= 3; None for another inequality."""
    names = set().union(*map(expression.symbols, trees)) - {"e", "\\pi"}
    inside = [i for i, tree in enumerate(trees) if tree[0] == "abs" and tree[1][0] == "symbol"]
    if len(names) != 1 or len(inside) != 1 or len(trees) == 3 and inside != [1]:
        return None
    if any(expression.symbols(tree) & names for i, tree in enumerate(trees) if i not in inside):
        return None
    (name,) = names
    sides = [("symbol", name) if i in inside else tree for i, tree in enumerate(trees)]
    size = _inequality_to_reals(sides, operators, inside[0])
    upper = intersect(size.pieces, (Piece(number(0), INFINITY, True, False),))
    lower = tuple(
        Piece(_negate(p.high), _negate(p.low), p.high_closed, p.low_closed) for p in upper
    )
    return Reals(unite(lower, upper), name)


def _negate(tree: Tree) -> Tree:
    if tree[0] == "infinity":
        return MINUS_INFINITY
    return number(-tree[1]) if tree[0] == "number" else ("mul", number(-1), tree)


def _read_equation(parts: list[str], read: Callable[[str], Answer]) -> Answer:
    if len(parts) == 2 and is_name(parts[1]) and not is_name(parts[0]):
        parts = parts[::-1]
    if is_name(parts[0]):
        values = [read(part) for part in parts[1:]]
        if all(same(values[-1], value) for value in values[:-1]):
            return name_value(parts[0], values[-1])
        raise ParseError("a chain of unequal things")
    trees = [parse_expression(part) for part in parts]
    if not any(map(expression.symbols, trees)):
        if all(equality.equal(trees[0], tree) for tree in trees[1:]):
            return Scalar(trees[-1])
        raise ParseError("a false equation")
    if len(parts) != 2:
        raise ParseError("a chain of equations")
    return Relation("=", ("add", trees[0], ("mul", number(-1), trees[1])))


def name_value(name: str, value: Answer) -> Answer:
    """Return a value with its name; an equation if the value itself contains the name."""
    name = canonical_name(name)
    if isinstance(value, Scalar) and name in expression.symbols(value.tree):
        left = ("symbol", name)  # x = 2x - 1 determines x but does not give its value
        return Relation("=", ("add", left, ("mul", number(-1), value.tree)))
    return Named(name, value)


def _inequality_to_reals(trees: list[Tree], operators: list[str], position: int) -> Reals:
    """Return the values that the variable at this position may take: x > 2, or 2 <= x < 5."""
    low, high, low_closed, high_closed = MINUS_INFINITY, INFINITY, False, False
    variable = trees[position][1]
    if "\\neq" in operators:
        if len(operators) > 1:
            raise ParseError("a chain with \\neq")
        return Reals(subtract(ALL_REALS, (point(trees[1 - position]),)), variable)
    if len({operator in ("<", "\\leq") for operator in operators}) > 1:
        raise ParseError("a chain in two directions")
    for index, operator in enumerate(operators):
        is_below = index < position  # the bound is left of the variable
        bound = trees[index] if is_below else trees[index + 1]
        if (operator in ("<", "\\leq")) == is_below:
            low, low_closed = bound, "eq" in operator
        else:
            high, high_closed = bound, "eq" in operator
    return Reals((Piece(low, high, low_closed, high_closed),), variable)


def _solve_linear(operator: str, difference: Tree) -> Answer:
    """Return a x + b compared with 0 as the set of its solutions x; leave any other relation."""
    relation = Relation(operator, difference)
    names = expression.symbols(difference)
    if len(names) != 1 or names & {"i", "e", "\\pi"}:
        return relation
    (name,) = names
    try:
        values = [
            expression.exact(expression.substitute(difference, name, number(x))) for x in _PROBES
        ]
    except TooHard:
        return relation
    if any(value is None for value in values):
        return relation
    offset, slope = values[0], values[1] - values[0]
    if slope == 0 or any(v != offset + slope * x for v, x in zip(values, _PROBES)):
        return relation
    if operator == "\\neq":
        return Reals(subtract(ALL_REALS, (point(number(-offset / slope)),)), name)
    operators = [operator if slope > 0 else {"<": ">", "\\leq": "\\geq"}[operator]]
    return _inequality_to_reals([("symbol", name), number(-offset / slope)], operators, 0)
