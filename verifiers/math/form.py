"""The form of an expression: what it looks like up to notation, and what it leaves to compute.

Two expressions can be equal, and one of them still be the question: 7*8 and 56. `canonical` writes
what differs only in notation as one tree. `work` names the operations that are not carried out.
"""

from collections import Counter
from fractions import Fraction
from functools import lru_cache
from math import gcd, prod

from verifiers.math.expression import CONSTANTS, TooHard, Tree, exact, number, symbols
from verifiers.math.tokens import FUNCTIONS

_TRANSCENDENTAL = set(FUNCTIONS.values()) - {"exp"}
PIECEWISE = {"abs", "floor", "ceil", "max", "min", "mod"}
_COUNTING = {"factorial", "binomial"}
_ALONE = {*PIECEWISE, *_COUNTING, "gcd", "lcm"}  # operations that are work whatever they work on
_PLAIN_BASES = {("symbol", "e"), ("symbol", "\\pi")}  # e^2 cannot be carried out
_NOTATION_EXPONENT = 3  # 10^3 is a notation of a number; 10^2 is a power
_LARGEST_SQUARE = 1000  # roots of squares that are looked for in a root
_MINUS_ONE = number(-1)


@lru_cache(maxsize=8192)
def canonical(tree: Tree) -> Tree:
    """Return the tree in one notation: order, signs, divisions and roots written one way.

    Nothing is computed: 3 + 4, 6/8 and 0.75 stay what they are.
    """
    operator, *arguments = tree
    if operator in ("number", "symbol", "infinity"):
        return tree
    if operator == "add":
        terms = sorted(map(canonical, _terms(tree)), key=repr)
        terms = [term for term in terms if term != number(0)]
        return ("add", *terms) if len(terms) > 1 else (terms or [number(0)])[0]
    if operator in ("mul", "div", "pow"):
        return _canonical_product(tree)
    if operator == "sqrt":
        return ("root", canonical(arguments[0]), number(2))
    if operator == "exp":
        return canonical(("pow", ("symbol", "e"), arguments[0]))
    if operator in ("max", "min", "gcd", "lcm"):
        return (operator, *sorted(map(canonical, arguments), key=repr))
    return (operator, *map(canonical, arguments))


def _canonical_product(tree: Tree) -> Tree:
    """Return ("mul", sign, factors above, factors below), or the one factor that there is."""
    sign, above, below = factors(tree)
    sides: list[tuple] = []
    for side in (above, below):
        parts = [_canonical_factor(part) for part in side if part != number(1)]
        for place, part in enumerate(parts):  # (b - a) / c is -(a - b) / c
            if part[0] == "add" and repr(_negative(part)) < repr(part):
                parts[place], sign = _negative(part), -sign
        sides.append(tuple(sorted(parts, key=repr)))
    tops, bottoms = sides
    if len(tops) == 1 and not bottoms:
        return tops[0] if sign > 0 else _negative(tops[0])
    if not tops and not bottoms:
        return number(sign)
    return ("mul", number(sign), ("above", *tops), ("below", *bottoms))


def _canonical_factor(tree: Tree) -> Tree:
    if tree[0] != "pow":
        return canonical(tree)
    base, exponent = canonical(tree[1]), canonical(tree[2])
    if exponent == number(1):
        return base
    if _is_fraction(tree[2]) and (value := exact(tree[2])) and value.numerator == 1:
        return ("root", base, number(value.denominator))
    return ("pow", base, exponent)


def _negative(tree: Tree) -> Tree:
    if tree[0] == "number":
        return number(-tree[1])
    if tree[0] == "add":
        return canonical(("add", *(("mul", _MINUS_ONE, term) for term in tree[1:])))
    if tree[0] == "mul" and len(tree) == 4:
        return ("mul", number(-tree[1][1]), *tree[2:])
    return ("mul", _MINUS_ONE, ("above", tree), ("below",))


def _terms(tree: Tree) -> list[Tree]:
    """Return the terms of a sum, each with its sign; a sign before brackets goes to the terms."""
    if tree[0] == "add":
        return [term for argument in tree[1:] for term in _terms(argument)]
    if tree[0] == "mul" and len(tree) == 3 and tree[1] == _MINUS_ONE and tree[2][0] == "add":
        return [("mul", _MINUS_ONE, term) for term in _terms(tree[2])]
    return [tree]


def factors(tree: Tree) -> tuple[int, list[Tree], list[Tree]]:
    """Return the sign of a product, its factors above the line, and those below it."""
    operator, *arguments = tree
    if operator == "number" and len(arguments) == 1:
        value = arguments[0]
        return (-1 if value < 0 else 1), [number(abs(value))], []
    if operator == "mul" and len(arguments) == 3:  # canonical already
        return int(arguments[0][1]), list(arguments[1][1:]), list(arguments[2][1:])
    if operator in ("mul", "div") and len(arguments) == 2:
        (sign, above, below), (other, top, bottom) = map(factors, arguments)
        if operator == "div":
            top, bottom = bottom, top
        return sign * other, above + top, below + bottom
    if operator == "pow" and is_plain(arguments[1]):
        exponent = _value(arguments[1])
        if exponent is not None and exponent < 0:
            return 1, [], [("pow", arguments[0], number(-exponent))]
    return 1, [tree], []


def subtrees(tree: Tree) -> set[Tree]:
    """Return the canonical forms of an expression and of its parts that are more than a symbol."""
    if tree[0] in ("number", "symbol", "infinity"):
        return set()
    return {canonical(tree)}.union(*map(subtrees, tree[1:]))


@lru_cache(maxsize=4096)
def work(tree: Tree) -> frozenset[str]:
    """Return the kinds of operations that an expression leaves to do.

    "sum", "product", "division", "power": of numbers that stand there, or of like terms.
    "brackets": around a sum with symbols, in a product or a power. "root", "nested root",
    "function", "exponential", "symbolic denominator", and the names of the operations in _ALONE:
    wherever they occur.
    """
    operator, *arguments = tree
    if operator in ("number", "symbol", "infinity"):
        return frozenset()
    if operator == "add":
        found = _work_of_sum(tree)
        arguments = _terms(tree)
    elif operator in ("mul", "div"):
        found = _work_of_product(tree)
        sign, above, below = factors(tree)
        arguments = [part for part in above + below if part != tree]
        if any(part[0] == "number" for part in above):  # 4.5 * 10^2 is a notation of a number
            arguments = [part for part in arguments if part[:2] != ("pow", number(10))]
    elif operator == "pow":
        found = _work_of_power(*arguments)
    elif operator in ("sqrt", "root"):
        is_nested = _holds_root(arguments[0])
        found = {"root", "nested root"} if is_nested else {"root"}
    elif operator == "exp":
        found = _work_of_power(("symbol", "e"), arguments[0])
    elif operator in _TRANSCENDENTAL:
        found = {"function"}
    else:
        found = {operator} & _ALONE
    return frozenset(found).union(*map(work, arguments))


def _work_of_sum(tree: Tree) -> set[str]:
    terms = _terms(tree)
    numbers = [term for term in terms if is_plain(term) and _value(term) != 0]
    is_mixed = len(terms) == len(numbers) == 2 and _is_mixed(*map(_value, terms))
    kinds = Counter(_without_coefficient(term) for term in terms if not is_plain(term))
    is_open = len(numbers) > 1 and not is_mixed or any(count > 1 for count in kinds.values())
    return {"sum"} if is_open else set()


def _work_of_product(tree: Tree) -> set[str]:
    found = set()
    _, above, below = factors(tree)
    above = [part for part in above if part != number(1)]
    tops = [part[1] for part in above if part[0] == "number"]
    bottoms = [part[1] for part in below if part[0] == "number" and part[1] != 1]
    if len(tops) > 1 or len(bottoms) > 1 or (0 in tops and len(above) > 1):
        found.add("product")
    if tops and bottoms and bottoms != [100]:  # 15 / 100 may be 15%
        is_whole = (tops[0] / bottoms[0]).denominator == 1
        if is_whole or any(value.denominator > 1 for value in tops + bottoms):
            found.add("division")
    elif bottoms and bottoms[0].denominator > 1:
        found.add("division")
    bases = [_base(part) for part in above + below if not _is_exponential(part)]
    bases = [base for base in bases if base[0] != "number"]
    sums = [base for base in bases if base[0] == "add" and symbols(base) <= CONSTANTS]
    if len(set(bases)) < len(bases) or sum("i" in symbols(base) for base in sums) > 1:
        found.add("product")
    if len(above) > 1 and any(part[0] == "add" and symbols(part) - CONSTANTS for part in above):
        found.add("brackets")
    if any(_base(part)[0] == "add" and symbols(part) - CONSTANTS for part in below):
        found.add("symbolic denominator")
    return found


def _work_of_power(base: Tree, exponent: Tree) -> set[str]:
    if symbols(exponent) - CONSTANTS:
        return {"exponential"}
    if base in _PLAIN_BASES:
        if "i" in symbols(exponent):
            return {"exponential"}
        return {"power"} if _value(exponent) == 0 else set()
    try:
        value = exact(exponent)
    except TooHard:
        return {"power"}
    if value is None or value.denominator > 1:
        return {"root"}
    if symbols(base) - CONSTANTS:
        return {"symbolic denominator" if value < 0 else "brackets"} if base[0] == "add" else set()
    if base == number(10) and not 0 <= value < _NOTATION_EXPONENT:
        return set()
    return {"power"} if value != 1 else set()


def _holds_root(tree: Tree) -> bool:
    if tree[0] in ("number", "symbol", "infinity"):
        return False
    is_root = tree[0] in ("sqrt", "root") or tree[0] == "pow" and _is_fraction(tree[2])
    return is_root or any(map(_holds_root, tree[1:]))


def is_plain(tree: Tree) -> bool:
    """Return whether a tree is an integer, a decimal or a fraction of them, with its sign."""
    _, above, below = factors(tree)
    sides = [[part for part in side if part != number(1)] for side in (above, below)]
    return all(len(side) < 2 and all(p[0] == "number" for p in side) for side in sides)


def _value(tree: Tree) -> Fraction | None:
    try:
        return exact(tree)
    except TooHard:
        return None


def _is_fraction(tree: Tree) -> bool:
    value = _value(tree) if is_plain(tree) else None
    return value is not None and value.denominator > 1


def _is_mixed(whole: Fraction | None, part: Fraction | None) -> bool:
    """Return whether two terms are a mixed number: 1 + 1/4, -1 - 1/4."""
    if whole is None or part is None:
        return False
    return whole.denominator == 1 and 0 < abs(part) < 1 and whole * part > 0


def is_less_reduced(gold: Tree, answer: Tree) -> bool:
    """Return whether an answer has a number as a common factor, or a square in a root, and the
    ground truth has not: 12/16, (2x^2 - 8) / (2x^2 + 10x + 12), sqrt(968) / 2.
    """
    return _can_be_reduced(answer) and not _can_be_reduced(gold)


def _can_be_reduced(tree: Tree) -> bool:
    _, above, below = factors(tree)
    top, bottom = (prod(map(_find_content, side)) for side in (above, below))
    if bottom != 100 and gcd(top, bottom) > 1:  # 15 / 100 may be 15%
        return True
    roots = [part[1][1] for part in above if part[0] == "sqrt" and part[1][0] == "number"]
    whole = [value for value in roots if value.denominator == 1]
    return any(value % (n * n) == 0 for value in whole for n in range(2, _LARGEST_SQUARE))


def _find_content(tree: Tree) -> int:
    """Return the largest integer that divides an expression, as it stands there; 1 if unknown."""
    if tree[0] == "number":
        return abs(int(tree[1])) if tree[1].denominator == 1 else 1
    if tree[0] == "add":
        return gcd(*map(_find_content, _terms(tree)))
    _, above, below = factors(tree)
    is_product = len(above) > 1 and not below
    return prod(map(_find_content, above)) if is_product else 1


def _is_exponential(tree: Tree) -> bool:
    """Return whether a factor is a constant to a power that holds a variable: e^x."""
    has_variable = tree[0] == "exp" or tree[0] == "pow" and symbols(tree[2]) - CONSTANTS
    return bool(has_variable) and not (tree[0] == "pow" and symbols(tree[1]) - CONSTANTS)


def _base(tree: Tree) -> Tree:
    return canonical(tree[1] if tree[0] == "pow" else tree)


def _without_coefficient(term: Tree) -> Tree:
    _, above, below = factors(term)
    tops, bottoms = (
        tuple(sorted((canonical(p) for p in side if p[0] != "number"), key=repr))
        for side in (above, below)
    )
    return ("mul", ("above", *tops), ("below", *bottoms))
