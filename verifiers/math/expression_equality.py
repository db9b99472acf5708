"""Equality of two expressions: exact for rational numbers, else numeric at many points."""

import random
from collections.abc import Callable, Iterator
from functools import lru_cache

import mpmath

from verifiers.math.breakpoints import has_breakpoints, list_points
from verifiers.math.expression import (
    CONSTANTS,
    NoValue,
    TooHard,
    Tree,
    evaluate,
    exact,
    symbols,
    uses,
)

_DIGITS = 60  # of numeric evaluation
_TOLERANCE = mpmath.mpf(10) ** -35  # largest relative difference that counts as rounding
_MANY_DIGITS = 600  # of the last comparison: tells a long decimal from an irrational number
_STRICT_TOLERANCE = mpmath.mpf(10) ** -500
_LEAST = mpmath.mpf(10) ** -200  # a smaller number, beside others, hides below the tolerance
_VANISHES = mpmath.mpf(10) ** -50  # rounding noise shrinks by this factor at three times the digits

_MAGNITUDES = (0, 1, -1, 2, 0, -2)  # powers of ten of the numbers that symbols stand for
# Values of the symbols that stand for integers.
_INTEGERS = tuple(map(int, "1 2 3 4 5 6 7 8 12 30 61 200".split()))
_FAR_DIGITS = 120  # at points far from zero, where differences lose more digits
_MOST_DIGITS = 1_500
_FEWEST_REAL = 4  # points at which both sides must be real, if some were left out
_MANY_VALUED = ("ln", "log", "arccosh", "arctanh", "arccoth", "arcsin", "arccos")
_HYPERBOLIC = {"sinh", "cosh", "tanh", "coth", "sech", "csch", "exp"}
_INTEGER_LETTERS = "ijklmnpqKLMNPQ"  # first letters of such symbols
_INTEGER_OPERATIONS = {"floor", "ceil", "factorial", "binomial", "mod", "gcd", "lcm"}
_SMALL_EXPONENT = 30  # below it a power of a number from 0.01 to 1000 is no burden
_TRIES = 4  # times as many points are tried, because some have no value

# "positive", "real" or "side" (of a breakpoint), and the values of the symbols
Point = tuple[str, dict[str, mpmath.mpf]]


def equal(a: Tree, b: Tree) -> bool:
    """Return whether two expressions are equal: exactly, or at many points to many digits.

    Symbols stand for positive numbers from 0.01 to 1000. Plain small letters stand for negative
    numbers too, where both sides are real there. Where an operation on integers occurs (floor, n!,
    (-1)^n), n, k and similar letters stand for integers.
    """
    if a == b:
        return True
    for log_base in (None, 10):  # \\log has base e or 10, the same on both sides
        try:
            if _equal_values(a, b, log_base):
                return True
        except TooHard:
            return _equal_parts(a, b)
        if not (uses(a, "log") or uses(b, "log")):
            return False
    return False


def proportional(a: Tree, b: Tree, positive: bool = False) -> bool:
    """Return whether a is a constant multiple of b (a positive one, if asked); neither may be 0."""
    ratios = []
    with mpmath.workdps(_DIGITS):
        try:
            for _, values in _points(a, b, None):
                x, y = evaluate(a, values), evaluate(b, values)
                if min(abs(x), abs(y)) < _TOLERANCE * max(abs(x), abs(y), 1):
                    return False
                ratios.append(x / y)
        except TooHard:
            return False
        first = ratios[0]
        if positive and not (abs(mpmath.im(first)) < _TOLERANCE and mpmath.re(first) > 0):
            return False
        return all(_close(ratio, first, _TOLERANCE) for ratio in ratios)


def match_items(left: tuple, right: tuple, is_same: Callable[[object, object], bool]) -> bool:
    """Return whether the items can be paired, each item on the left with one on the right."""
    if len(left) != len(right):
        return False
    rest = list(right)
    for item in left:
        position = next((i for i, other in enumerate(rest) if is_same(item, other)), None)
        if position is None:
            return False
        del rest[position]
    return True


def _equal_values(a: Tree, b: Tree, log_base: int | None) -> bool:
    exact_a, exact_b = exact(a), exact(b)
    if exact_a is not None and exact_b is not None:
        return exact_a == exact_b
    if uses(a, "infinity") or uses(b, "infinity"):
        return _sign_of_infinity(a) == _sign_of_infinity(b) != 0
    if _is_constant_with_symbols(a, b) or _is_constant_with_symbols(b, a):
        return False
    if _hides(a) != _hides(b):
        return False
    first: dict | None = None
    compared = skipped = 0
    for kind, values in _points(a, b, log_base):
        first = values if first is None else first
        try:
            outcome = _compare_at(a, b, kind, values, log_base)
        except TooHard:
            if kind != "side":
                raise
            continue  # no value there
        if outcome is False:
            return False
        compared += outcome is True
        skipped += outcome is None and kind != "real"
    if skipped and compared < _FEWEST_REAL:
        return False
    with mpmath.workdps(_MANY_DIGITS):
        x, y = evaluate(a, first, log_base), evaluate(b, first, log_base)
        if skipped and (mpmath.im(x) or mpmath.im(y)):
            return True
        return _close(x, y, _STRICT_TOLERANCE) or max(abs(x), abs(y)) < _STRICT_TOLERANCE


def _compare_at(a: Tree, b: Tree, kind: str, values: dict, log_base: int | None) -> bool | None:
    """Return whether two expressions are equal at a point; None if it does not tell.

    A complex logarithm has many values, so that only points count where both sides are real. With
    bars on one side alone, a side that is not real is another one.
    """
    with mpmath.workdps(_FAR_DIGITS if kind == "side" else _DIGITS):
        x, y = evaluate(a, values, log_base), evaluate(b, values, log_base)
    is_complex = [bool(mpmath.im(value)) for value in (x, y)]
    if is_complex[0] != is_complex[1] and _bars_differ(a, b) and kind != "positive":
        return False
    if kind != "positive" and any(is_complex):
        return None
    if _close(x, y, _TOLERANCE):
        return True
    if any(is_complex) and values and (_has_logarithm(a) or _has_logarithm(b)):
        return None
    if _vanishes(a, x, values, log_base) and _vanishes(b, y, values, log_base):
        return True
    if not (_grows_fast(a) or _grows_fast(b)):
        return False
    with mpmath.workdps(_MOST_DIGITS):  # cosh x - sinh x loses 870 digits at x = 1000
        x, y = evaluate(a, values, log_base), evaluate(b, values, log_base)
        return _close(x, y, _TOLERANCE)


def _sign_of_infinity(tree: Tree) -> int:
    """Return 1 or -1 for a plus or minus infinity that stands alone, 0 for what holds one."""
    if tree[0] == "infinity":
        return 1
    if tree[0] == "mul" and tree[1][0] == "number" and tree[2][0] == "infinity":
        return (tree[1][1] > 0) - (tree[1][1] < 0)
    return 0


def _is_constant_with_symbols(a: Tree, b: Tree) -> bool:
    """Return whether a has no symbol and b divides by one: 17 x / x has no value at 0."""
    return not symbols(a) - CONSTANTS and _divides_by_symbol(b)


@lru_cache(maxsize=4096)
def _hides(tree: Tree) -> bool:
    """Return whether a number in an expression is too small, beside the others, to be compared.

    10^-700 is, and e^-2000, and the 1 of 10^300 + 1: no number of digits shows all of them.
    """
    if tree[0] in ("symbol", "infinity"):
        return False
    if tree[0] != "number" and any(map(_hides, tree[1:])):
        return True
    parts = [tree, *tree[1:]] if tree[0] == "add" else [tree]
    sizes = [abs(evaluate(part, {})) for part in parts if not symbols(part) - CONSTANTS]
    return any(0 < size < _LEAST * max(1, *sizes) for size in sizes)


def _divides_by_symbol(tree: Tree) -> bool:
    if tree[0] in ("number", "symbol", "infinity"):
        return False
    if tree[0] == "div" and symbols(tree[2]) - CONSTANTS:
        return True
    if tree[0] == "pow" and symbols(tree[1]) - CONSTANTS and not symbols(tree[2]):
        value = exact(tree[2])
        if value is not None and value <= 0:
            return True
    return any(map(_divides_by_symbol, tree[1:]))


def _bars_differ(a: Tree, b: Tree) -> bool:
    return uses(a, "abs") != uses(b, "abs")


def _has_logarithm(tree: Tree) -> bool:
    return any(uses(tree, name) for name in _MANY_VALUED)


def _grows_fast(tree: Tree) -> bool:
    if tree[0] in ("number", "symbol"):
        return False
    if tree[0] in _HYPERBOLIC and symbols(tree):
        return True
    if tree[0] == "pow" and symbols(tree[2]):
        return True
    return any(map(_grows_fast, tree[1:]))


def _vanishes(tree: Tree, value, values: dict, log_base: int | None) -> bool:
    """Return whether a value is really 0: rounding noise shrinks as the precision grows."""
    with mpmath.workdps(3 * _DIGITS):
        return abs(evaluate(tree, values, log_base)) <= _VANISHES * abs(value)


def _close(x, y, tolerance) -> bool:
    if not (mpmath.isfinite(x) and mpmath.isfinite(y)):
        raise NoValue("no finite value")
    return abs(x - y) <= tolerance * max(abs(x), abs(y))


def _points(a: Tree, b: Tree, log_base: int | None) -> Iterator[Point]:
    """Yield points at which both expressions have a value; every call yields the same points.

    Raises:
        TooHard: there are too few such points.
    """
    names = (symbols(a) | symbols(b)) - CONSTANTS
    if not names:
        yield "positive", {}
        return
    wants_integers = any(
        _has_alternating_sign(tree) or any(uses(tree, name) for name in _INTEGER_OPERATIONS)
        for tree in (a, b)
    )
    integers = {name for name in names if wants_integers and name[0] in _INTEGER_LETTERS}
    sides_differ = _bars_differ(a, b)
    signed = {name for name in names if sides_differ or len(name) == 1 and name.islower()}
    start: dict | None = None
    for kind in ("positive",) if integers == names else ("positive", "real"):
        wanted = len(_INTEGERS) if integers else len(_MAGNITUDES)
        found = 0
        for attempt in range(_TRIES):
            for values in _draw(names, integers, signed, kind, attempt):
                if found < wanted and _have_values(a, b, values, log_base):
                    found += 1
                    start = start or values
                    yield kind, values
        if found < wanted // 3 and kind == "positive":
            raise TooHard("values at too few points")
    if start and (has_breakpoints(a) or has_breakpoints(b)):
        for values in list_points((a, b), start, integers, signed):
            yield "side", values  # where there may be no value


def _draw(
    names: set[str], integers: set[str], signed: set[str], kind: str, attempt: int
) -> list[dict]:
    """Return values of the symbols; each symbol takes all magnitudes, in its own order."""
    columns: dict[str, list] = {}
    count = len(_INTEGERS) if integers else len(_MAGNITUDES)
    for name in sorted(names):
        generator = random.Random(f"{kind} {attempt} {name}")
        if name in integers:
            columns[name] = [mpmath.mpf(n) for n in generator.sample(_INTEGERS, count)]
            continue
        magnitudes = generator.sample(_MAGNITUDES, len(_MAGNITUDES))
        is_signed = kind == "real" and name in signed
        columns[name] = [
            generator.choice([-1, 1] if is_signed and row else [-1 if is_signed else 1])
            * generator.randint(10**8, 10**9)
            * mpmath.mpf(10) ** (magnitudes[row % len(magnitudes)] - 8)
            for row in range(count)
        ]
    return [{name: column[row] for name, column in columns.items()} for row in range(count)]


def _have_values(a: Tree, b: Tree, values: dict, log_base: int | None) -> bool:
    if _has_value_everywhere(a) and _has_value_everywhere(b):
        return True
    try:
        return all(mpmath.isfinite(evaluate(tree, values, log_base)) for tree in (a, b))
    except TooHard:
        return False


@lru_cache(maxsize=4096)
def _has_value_everywhere(tree: Tree) -> bool:
    """Return whether an expression is made of sums, products and small powers alone."""
    operator, *arguments = tree
    if operator in ("number", "symbol"):
        return True
    if operator == "pow":
        base, exponent = arguments
        is_small = exponent[0] == "number" and exponent[1] in range(1, _SMALL_EXPONENT)
        return is_small and _has_value_everywhere(base)
    return operator in ("add", "mul", "abs") and all(map(_has_value_everywhere, arguments))


def _has_alternating_sign(tree: Tree) -> bool:
    """Return whether a power such as (-1)^n occurs: negative base, symbol in the exponent."""
    if tree[0] in ("number", "symbol"):
        return False
    if tree[0] == "pow" and symbols(tree[2]) and not symbols(tree[1]):
        try:
            base = exact(tree[1])
        except TooHard:
            base = None
        if base is not None and base < 0:
            return True
    return any(map(_has_alternating_sign, tree[1:]))


def _equal_parts(a: Tree, b: Tree) -> bool:
    """Compare numbers too large to evaluate by their parts: same operation, equal arguments."""
    if a[0] != b[0] or len(a) != len(b) or a[0] in ("number", "symbol"):
        return a == b
    return all(equal(x, y) for x, y in zip(a[1:], b[1:]))
