"""LaTeX expressions as trees, their exact and numeric values, and equality decided on these.

A tree is a tuple: ("number", Fraction), ("symbol", name), ("infinity",), or an operator or function
name followed by its arguments: ("add", a, b), ("mul", a, b), ("pow", base, exponent), ("sin", a).
Nothing is ever evaluated as Python, and every operation that could take long is bounded first.
"""

import math
import random
from fractions import Fraction
from functools import lru_cache

import mpmath

Tree = tuple

_MAX_BITS = 200_000  # size of an exact number; larger ones are compared by their parts
_MAX_FACTORIAL = 5_000
_DIGITS = 60  # of numeric evaluation
_TOLERANCE = mpmath.mpf(10) ** -35  # relative difference that is not rounding

_NUM_POINTS = 3  # random assignments to the symbols, of each kind; more where they are integers
_INTEGER_LETTERS = "ijklmnpqKLMNPQ"  # what symbols for integers are called
_INTEGER_OPERATIONS = {"floor", "ceil", "factorial", "binomial", "mod", "gcd", "lcm"}


class TooHard(Exception):
    """The value is beyond the bounds, or does not exist."""


def equal(a: Tree, b: Tree) -> bool:
    """Return whether two expressions are equal: exactly, or at random points to high precision.

    Symbols stand for any positive number, and for any real number where both sides are real there;
    n, k and the like for integers where an operation on integers (floor, n!, (-1)^n) occurs.
    """
    if a == b:
        return True
    for log_base in (None, 10):  # \log is natural or decadic, but the same on both sides
        try:
            if _equal_values(a, b, log_base):
                return True
        except TooHard:
            return _equal_parts(a, b)
        if not (_uses(a, "log") or _uses(b, "log")):
            return False
    return False


def proportional(a: Tree, b: Tree, positive: bool = False) -> bool:
    """Return whether a is a constant multiple (a positive one, if asked) of b, neither being 0."""
    names = symbols(a) | symbols(b)
    ratios = []
    with mpmath.workdps(_DIGITS):
        try:
            for values in _points(names, a, b):
                x, y = evaluate(a, values), evaluate(b, values)
                if abs(y) < _TOLERANCE or abs(x) < _TOLERANCE:
                    return False
                ratios.append(x / y)
        except TooHard:
            return False
        first = ratios[0]
        if positive and not (abs(mpmath.im(first)) < _TOLERANCE and mpmath.re(first) > 0):
            return False
        return all(_close(ratio, first) for ratio in ratios)


@lru_cache(maxsize=4096)
def symbols(tree: Tree) -> frozenset[str]:
    """Return the names of the symbols of an expression."""
    if tree[0] == "symbol":
        return frozenset([tree[1]])
    if tree[0] == "number":
        return frozenset()
    return frozenset().union(*(symbols(argument) for argument in tree[1:]))


def substitute(tree: Tree, name: str, value: Tree) -> Tree:
    """Return an expression with a value in the place of a symbol."""
    if tree[0] == "symbol":
        return value if tree[1] == name else tree
    if tree[0] == "number":
        return tree
    return (tree[0], *(substitute(argument, name, value) for argument in tree[1:]))


@lru_cache(maxsize=4096)
def exact(tree: Tree) -> Fraction | None:
    """Return the rational value, or None where the expression is not built of rationals alone.

    Raises:
        TooHard: a number too large to be written out, or a division by zero.
    """
    operator, *arguments = tree
    if operator == "number":
        return arguments[0]
    if operator not in _EXACT:
        return None
    values = [exact(argument) for argument in arguments]
    if any(value is None for value in values):
        return None
    try:
        result = _EXACT[operator](*values)
    except (ZeroDivisionError, ValueError, OverflowError) as error:
        raise TooHard(str(error)) from error
    if result is not None and _bits(result) > _MAX_BITS:
        raise TooHard("a number too large")
    return result


def evaluate(tree: Tree, values: dict[str, mpmath.mpf], log_base: int | None = None):
    """Return the mpmath value at the current precision, with these values of the symbols.

    Raises:
        TooHard: no value there, or one too large for a precise one.
    """
    operator, *arguments = tree
    if operator == "number":
        return mpmath.mpf(arguments[0].numerator) / arguments[0].denominator
    if operator == "symbol":
        return {"i": mpmath.mpc(0, 1), "e": +mpmath.e, "\\pi": +mpmath.pi}.get(
            arguments[0], values.get(arguments[0])
        )
    if operator == "infinity":
        return mpmath.inf
    numbers = [evaluate(argument, values, log_base) for argument in arguments]
    if any(abs(number) > mpmath.mpf(2) ** _MAX_BITS for number in numbers if number == number):
        if operator not in ("add", "mul", "eq"):
            raise TooHard("an argument too large")
    try:
        if operator == "log" and len(numbers) == 1:
            return mpmath.log(numbers[0]) if log_base is None else mpmath.log(numbers[0], log_base)
        if operator == "pow" and _is_real_root(arguments[1], numbers[0]):
            return _real_power(numbers[0], exact(arguments[1]))
        return _NUMERIC[operator](*numbers)
    except (ArithmeticError, ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise TooHard(str(error)) from error


def _equal_values(a: Tree, b: Tree, log_base: int | None) -> bool:
    exact_a, exact_b = exact(a), exact(b)
    if exact_a is not None and exact_b is not None:
        return exact_a == exact_b
    names = (symbols(a) | symbols(b)) - {"i", "e", "\\pi"}
    if "infinity" in (a[0], b[0]) or _uses(a, "infinity") or _uses(b, "infinity"):
        return not names and evaluate(a, {}) == evaluate(b, {})
    with mpmath.workdps(_DIGITS):
        for values in _points(names, a, b):
            x, y = evaluate(a, values, log_base), evaluate(b, values, log_base)
            is_real = abs(mpmath.im(x)) + abs(mpmath.im(y)) == 0
            if not _close(x, y) and (is_real or values.get("", "positive") == "positive"):
                return _both_vanish(a, b, values, log_base)
    return bool(names) or _still_equal(a, b, log_base)


def _still_equal(a: Tree, b: Tree, log_base: int | None) -> bool:
    """Compare constants to so many digits that no decimal written out passes for an irrational."""
    with mpmath.workdps(10 * _DIGITS):
        x, y = evaluate(a, {}, log_base), evaluate(b, {}, log_base)
        return abs(x - y) <= mpmath.mpf(10) ** (-9 * _DIGITS) * max(1, abs(x))


def _both_vanish(a: Tree, b: Tree, values: dict, log_base: int | None) -> bool:
    """Tell zero from rounding noise: whether the values shrink as the precision grows."""
    with mpmath.workdps(3 * _DIGITS):
        x, y = evaluate(a, values, log_base), evaluate(b, values, log_base)
        return max(abs(x), abs(y)) < mpmath.mpf(10) ** (-2 * _DIGITS)


def _close(x, y) -> bool:
    if not (mpmath.isfinite(x) and mpmath.isfinite(y)):
        raise TooHard("no finite value")
    return abs(x - y) <= _TOLERANCE * max(abs(x), abs(y))


def _points(names: frozenset[str], *trees: Tree):
    """Yield assignments to the symbols, the same ones at every call; "" holds their kind."""
    if not names:
        yield {}
        return
    wants_integers = any(map(_has_alternating_sign, trees)) or any(
        _uses(tree, operation) for tree in trees for operation in _INTEGER_OPERATIONS
    )
    integers = {name for name in names if wants_integers and name[0] in _INTEGER_LETTERS}
    num_points = 4 * _NUM_POINTS if integers else _NUM_POINTS
    for kind in ("positive",) if integers == names else ("positive", "real"):
        for point in range(num_points):
            values = {"": kind}
            for name in sorted(names):
                generator = random.Random(f"{kind} {point} {name}")
                if name in integers:
                    values[name] = mpmath.mpf(generator.randint(1, 30))
                    continue
                is_negative = kind == "real" and (point == 0 or generator.random() < 0.5)
                size = mpmath.mpf(generator.randint(10**8, 10**9)) / (5 * 10**8 + 9)
                values[name] = -size if is_negative else size
            yield values


def _has_alternating_sign(tree: Tree) -> bool:
    """Return whether a power of a negative number with a symbol in the exponent occurs."""
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


@lru_cache(maxsize=4096)
def _uses(tree: Tree, operator: str) -> bool:
    if tree[0] in ("number", "symbol"):
        return False
    return tree[0] == operator or any(_uses(argument, operator) for argument in tree[1:])


def _equal_parts(a: Tree, b: Tree) -> bool:
    """Compare numbers too large to be evaluated by their parts: same operation, equal arguments."""
    if a[0] != b[0] or len(a) != len(b) or a[0] in ("number", "symbol"):
        return a == b
    return all(equal(x, y) for x, y in zip(a[1:], b[1:]))


def _bits(value: Fraction) -> int:
    return max(abs(value.numerator).bit_length(), value.denominator.bit_length())


def _exact_power(base: Fraction, exponent: Fraction) -> Fraction | None:
    if exponent.denominator == 1:
        if base == 0 and exponent < 0:
            raise ZeroDivisionError("0 to a negative power")
        if abs(exponent) * (_bits(base) - (base.denominator == 1 and abs(base) == 1)) > _MAX_BITS:
            if abs(base) not in (0, 1):
                raise TooHard("a power too large")
            return base if exponent % 2 else abs(base)
        return base ** int(exponent)
    return None  # a root: left to numeric evaluation


def _exact_factorial(value: Fraction) -> Fraction | None:
    if value.denominator != 1 or value < 0:
        return None
    if value > _MAX_FACTORIAL:
        raise TooHard("a factorial too large")
    return Fraction(math.factorial(int(value)))


def _exact_binomial(n: Fraction, k: Fraction) -> Fraction | None:
    if n.denominator != 1 or k.denominator != 1 or n < 0 or k < 0:
        return None
    if n > _MAX_FACTORIAL and min(k, n - k) > 1000:
        raise TooHard("a binomial coefficient too large")
    return Fraction(math.comb(int(n), int(k)))


def _integers(function):
    def of_integers(*values: Fraction) -> Fraction | None:
        if any(value.denominator != 1 for value in values):
            return None
        return Fraction(function(*map(int, values)))

    return of_integers


_EXACT = {
    "add": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": _exact_power,
    "factorial": _exact_factorial,
    "binomial": _exact_binomial,
    "abs": abs,
    "floor": lambda a: Fraction(math.floor(a)),
    "ceil": lambda a: Fraction(math.ceil(a)),
    "mod": lambda a, b: a % b,
    "max": max,
    "min": min,
    "gcd": _integers(math.gcd),
    "lcm": _integers(math.lcm),
}


def _power(base, exponent):
    size = abs(exponent) * abs(mpmath.log(abs(base), 2)) if base else 0
    if size > _MAX_BITS:
        raise TooHard("a power too large")
    return mpmath.power(base, exponent)


def _factorial(value):
    if abs(value) > 10 * _MAX_FACTORIAL:
        raise TooHard("a factorial too large")
    return mpmath.factorial(value)


def _is_real_root(exponent: Tree, base) -> bool:
    if mpmath.im(base) or mpmath.re(base) >= 0 or symbols(exponent):
        return False
    value = exact(exponent)
    return value is not None and value.denominator > 1 and value.denominator % 2 == 1


def _real_power(base, exponent: Fraction):
    """A negative number to the power p/q, q odd: the real root, as in school."""
    size = _power(-base, mpmath.mpf(exponent.numerator) / exponent.denominator)
    return -size if exponent.numerator % 2 else size


def _root(value, degree):
    """The real root where there is one: the cube root of -8 is -2."""
    is_odd = degree == int(mpmath.re(degree)) and int(mpmath.re(degree)) % 2 == 1
    if is_odd and mpmath.im(value) == 0 and mpmath.re(value) < 0:
        return -mpmath.power(-value, 1 / degree)
    return mpmath.power(value, 1 / degree)


_NUMERIC = {
    "add": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": _power,
    "sqrt": mpmath.sqrt,
    "root": _root,
    "factorial": _factorial,
    "binomial": mpmath.binomial,
    "abs": abs,
    "floor": mpmath.floor,
    "ceil": mpmath.ceil,
    "mod": lambda a, b: a - b * mpmath.floor(a / b),
    "max": max,
    "min": min,
    "log": mpmath.log,  # with a base
    "ln": mpmath.log,
    "exp": lambda a: _power(+mpmath.e, a),
    "degrees": lambda a: a * mpmath.pi / 180,
    **{
        name: getattr(mpmath, python_name or name)
        for name, python_name in {
            **dict.fromkeys("sin cos tan cot sec csc sinh cosh tanh coth sech csch".split()),
            **{f"arc{n}": f"a{n}" for n in "sin cos tan cot sec csc sinh cosh tanh".split()},
        }.items()
    },
}
