"""Equality of two answers: they must be of one kind, and equal as that kind defines it."""

import re

from verifiers.math import expression, units
from verifiers.math import expression_equality as equality
from verifiers.math.expression import CONSTANTS, TooHard, number
from verifiers.math.kinds import Answer, Matrix, Named, Reals, Relation, Scalar, Sequence, Words
from verifiers.math.parser import parse_expression
from verifiers.math.reals import as_reals, same_reals
from verifiers.math.tokens import ParseError

_SUBSCRIPT = re.compile(r"_(?:\{[^{}]*\}|\w)")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_MAX_COMPARISONS = 10_000  # of items, between two lists


def same(gold: Answer, answer: Answer) -> bool:
    """Return whether two answers are of one kind and equal; their order does not matter."""
    if isinstance(gold, Words) or isinstance(answer, Words):
        return gold == answer
    if isinstance(gold, Named) or isinstance(answer, Named):
        return _same_equation(gold, answer)
    if isinstance(gold, Reals) or isinstance(answer, Reals):
        try:
            return same_reals(as_reals(gold), as_reals(answer))
        except ParseError:
            return False
    if _is_set_of_one(gold) != _is_set_of_one(answer):
        one, other = (gold, answer) if _is_set_of_one(gold) else (answer, gold)
        if not isinstance(other, Sequence) or other.bracket == "(":
            return same(one.items[0], other)
    if type(gold) is not type(answer):
        return False
    if isinstance(gold, Scalar):
        return _same_scalar(gold, answer)
    if isinstance(gold, Sequence):
        return _same_sequence(gold, answer)
    if isinstance(gold, Matrix):
        shapes = [[len(row) for row in matrix.rows] for matrix in (gold, answer)]
        cells = [[cell for row in matrix.rows for cell in row] for matrix in (gold, answer)]
        return shapes[0] == shapes[1] and all(map(same, *cells))
    if isinstance(gold, Relation):
        if gold.operator != answer.operator:
            return False
        is_ordered = gold.operator in ("<", "\\leq")
        return equality.proportional(gold.difference, answer.difference, positive=is_ordered)
    return gold == answer


def _is_set_of_one(answer: Answer) -> bool:
    """Return whether an answer is the set of one solution: {3}. {x} may be a fractional part."""
    if not (isinstance(answer, Sequence) and answer.bracket == "{" and len(answer.items) == 1):
        return False
    [item] = answer.items
    is_number = isinstance(item, Scalar) and not expression.symbols(item.tree) - CONSTANTS
    return is_number or isinstance(item, Sequence) and item.bracket == "("


def _same_scalar(gold: Scalar, answer: Scalar) -> bool:
    size = units.compare(gold.unit, answer.unit)
    if size is None:
        return False
    scaled = gold.tree if size == 1 else ("mul", number(size), gold.tree)
    if equality.equal(scaled, answer.tree):
        return True
    if (gold.bare is None) == (answer.bare is None):
        return False
    plain, marked = (gold, answer) if gold.bare is None else (answer, gold)
    if plain.unit not in ("", "degc", "degf"):  # 5 degrees are not 5 radians
        return False
    return _is_above_one(plain) and equality.equal(plain.tree, marked.bare)


def _is_above_one(scalar: Scalar) -> bool:
    """Return whether a number may lack its sign: 50 may stand for 50%, 0.5 not for 0.5%."""
    try:
        value = expression.exact(scalar.tree)
    except TooHard:
        return False
    return value is not None and abs(value) > 1


def _same_equation(gold: Answer, answer: Answer) -> bool:
    if isinstance(gold, Named) and isinstance(answer, Named):
        if _are_one_name(gold.name, answer.name):
            return same(gold.value, answer.value)
        return _same_relations(gold, answer)
    if isinstance(gold, Relation) or isinstance(answer, Relation):
        return _same_relations(gold, answer)
    named, other = (gold, answer) if isinstance(gold, Named) else (answer, gold)
    letters = _SUBSCRIPT.sub("", _COMMAND.sub("", named.name))
    is_label = sum(map(str.isupper, letters)) > 1  # AB = 5, but MR = SRMC is an equation
    if is_label and isinstance(named.value, Scalar) and expression.symbols(named.value.tree):
        return False
    return same(named.value, other)


def _are_one_name(a: str, b: str) -> bool:
    """Return whether two names are equal, or one is the other without its subscript: R, R_eq."""
    return a == b or {_SUBSCRIPT.sub("", a), _SUBSCRIPT.sub("", b)} in ({a}, {b})


def _same_relations(gold: Answer, answer: Answer) -> bool:
    try:
        return same(_as_relation(gold), _as_relation(answer))
    except ParseError:
        return False


def _as_relation(answer: Answer) -> Relation:
    if isinstance(answer, Relation):
        return answer
    if isinstance(answer, Named) and isinstance(answer.value, Scalar):
        right = ("mul", number(-1), answer.value.tree)
        return Relation("=", ("add", parse_expression(answer.name), right))
    raise ParseError("not an equation")


def _same_sequence(gold: Sequence, answer: Sequence) -> bool:
    brackets = {gold.bracket, answer.bracket}
    if len(gold.items) * len(answer.items) > _MAX_COMPARISONS:
        return False
    if brackets == {",", "("}:
        return _same_coordinates(gold, answer) or _same_coordinates(answer, gold)
    if brackets <= {",", "{"} and _count_names(gold) != _count_names(answer):
        return _same_in_order(gold, answer) or _same_in_order(answer, gold)
    if brackets <= {",", "{"}:
        if "{" in brackets or all(map(_is_tuple, gold.items + answer.items)):
            return equality.match_items(distinct(gold.items), distinct(answer.items), same)
        return equality.match_items(gold.items, answer.items, same)
    if len(brackets) > 1 or len(gold.items) != len(answer.items):
        return False
    return all(map(same, gold.items, answer.items))


def _is_tuple(item: Answer) -> bool:
    """Return whether an item of a list is a solution such as (1, 2), which counts once."""
    return isinstance(item, Sequence) and item.bracket == "("


def _same_coordinates(named: Sequence, plain: Sequence) -> bool:
    """Compare x = 1, y = 2 with the tuple (1, 2)."""
    if named.bracket != "," or _count_names(named) != len(named.items):
        return False
    if len(named.items) < 2:
        return False
    items = sorted(named.items, key=lambda item: item.name.lower())
    return len(items) == len(plain.items) and all(
        same(item.value, other) for item, other in zip(items, plain.items)
    )


def _same_in_order(named: Sequence, plain: Sequence) -> bool:
    """Compare AB = 4, CD = 5 with 4, 5: the values of different names, in their order."""
    if _count_names(named) != len(named.items) or len(named.items) != len(plain.items):
        return False
    if not all(isinstance(item, Named) for item in named.items):
        return False
    is_plain = not any(isinstance(item, Named) for item in plain.items)
    return is_plain and all(same(item.value, o) for item, o in zip(named.items, plain.items))


def _count_names(sequence: Sequence) -> int:
    """Return how many variables a list names, at least 1: x = 1, x = 2 names one."""
    names = {item.name for item in sequence.items if isinstance(item, Named)}
    return max(1, len({re.sub(r"_\d$", "", name) for name in names}))  # x_1 and x_2 are both x


def distinct(items: tuple) -> tuple:
    """Return the items without repetitions."""
    distinct: list = []
    for item in items:
        if not any(same(item, other) for other in distinct):
            distinct.append(item)
    return tuple(distinct)
