"""Expressions as trees: their exact and their numeric values.

A tree is a tuple: ("number", Fraction), ("symbol", name), ("infinity",), or the name of an operator
or function followed by its arguments: ("add", a, b), ("pow", base, exponent), ("sin", a).
Nothing is ever evaluated as Python. The size of every operation that could take long is checked
before it runs.
"""

import math
from fractions import Fraction
from functools import lru_cache

import mpmath

Tree = tuple

_MAX_BITS = 200_000  # of an exact number; larger ones are compared by their parts
_MAX_FUNCTION_BITS = 2_000  # of the argument of a function (sin, cosh, ...)
_MAX_FACTORIAL = 5_000
_NOISE_DIGITS = 10  # of the last digits, in which rounding may show
_LARGEST_ARGUMENT, _LARGEST = (mpmath.mpf(2) ** n for n in (_MAX_FUNCTION_BITS, _MAX_BITS))
CONSTANTS = {"i", "e", "\\pi"}  # symbols with a value of their own


class TooHard(Exception):
    """The value is too large to compute, or does not exist."""


class NoValue(TooHard):
    """The value does not exist: a pole, 0/0, a logarithm of 0."""


@lru_cache(maxsize=4096)
def symbols(tree: Tree) -> frozenset[str]:
    """Return the names of the symbols of an expression."""
    if tree[0] == "symbol":
        return frozenset([tree[1]])
    if tree[0] == "number":
        return frozenset()
    return frozenset().union(*(symbols(argument) for argument in tree[1:]))


@lru_cache(maxsize=4096)
def uses(tree: Tree, operator: str) -> bool:
    """Return whether an operator or a function occurs in an expression."""
    if tree[0] in ("number", "symbol"):
        return False
    return tree[0] == operator or any(uses(argument, operator) for argument in tree[1:])


def number(value: int | Fraction) -> Tree:
    return ("number", Fraction(value))


def substitute(tree: Tree, name: str, value: Tree) -> Tree:
    """Return the expression with a value in the place of a symbol."""
    if tree[0] == "symbol":
        return value if tree[1] == name else tree
    if tree[0] == "number":
        return tree
    return (tree[0], *(substitute(argument, name, value) for argument in tree[1:]))


@lru_cache(maxsize=4096)
def exact(tree: Tree) -> Fraction | None:
    """Return the rational value; None if the expression has other than rational parts.

    Raises:
        TooHard: a number is too large to write out, or a division by zero.
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
    """Return the mpmath value at the current precision, for these values of the symbols.

    Args:
        log_base: base of a logarithm written without one; None for the natural logarithm.

    Raises:
        NoValue: the value does not exist.
        TooHard: a number is too large for a precise value.
    """
    operator, *arguments = tree
    if operator == "number":
        return mpmath.mpf(arguments[0].numerator) / arguments[0].denominator
    if operator == "symbol":
        own = {"i": mpmath.mpc(0, 1), "e": +mpmath.e, "\\pi": +mpmath.pi}
        return own[arguments[0]] if arguments[0] in own else values[arguments[0]]
    if operator == "infinity":
        return mpmath.inf
    numbers = [evaluate(argument, values, log_base) for argument in arguments]
    _check_size(operator, numbers)
    try:
        if operator == "log" and len(numbers) == 1:
            return mpmath.log(numbers[0]) if log_base is None else mpmath.log(numbers[0], log_base)
        if operator == "pow" and _is_real_root(arguments[1], numbers[0]):
            return _real_power(numbers[0], exact(arguments[1]))
        return _NUMERIC[operator](*numbers)
    except (ArithmeticError, ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise NoValue(str(error)) from error


def _check_size(operator: str, numbers: list) -> None:
    if operator in ("add", "mul"):
        return
    is_function = operator not in ("div", "pow", "sqrt", "root", "ln", "log", "abs")
    largest = _LARGEST_ARGUMENT if is_function else _LARGEST
    if operator in ("sinh", "cosh", "tanh", "coth", "sech", "csch", "exp"):
        largest = _MAX_BITS
    if any(mpmath.isfinite(number) and abs(number) > largest for number in numbers):
        raise TooHard("an argument too large")


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
    return None  # a root: numeric evaluation handles it


def _exact_factorial(value: Fraction) -> Fraction | None:
    if value.denominator != 1 or value < 0:
        return None
    if value > _MAX_FACTORIAL:
        raise TooHard("a factorial too large")
    return Fraction(math.factorial(int(value)))


def _exact_binomial(n: Fraction, k: Fraction) -> Fraction | None:
    if n.denominator != 1 or k.denominator != 1 or n < 0 or k < 0:
        return None
    if n > _MAX_FACTORIAL and min(k, n - k) * _bits(n) > _MAX_BITS:
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


def _snap(value):
    """Return the integer that a value differs from by rounding alone, or the value."""
    nearest = mpmath.nint(value)
    noise = mpmath.mpf(10) ** (_NOISE_DIGITS - mpmath.mp.dps) * max(1, abs(value))
    return nearest if abs(value - nearest) < noise else value


def _is_real_root(exponent: Tree, base) -> bool:
    if mpmath.im(base) or mpmath.re(base) >= 0 or symbols(exponent):
        return False
    value = exact(exponent)
    return value is not None and value.denominator > 1 and value.denominator % 2 == 1


def _real_power(base, exponent: Fraction):
    """Return a negative number to the power p/q, q odd, as the real root taught in school."""
    size = _power(-base, mpmath.mpf(exponent.numerator) / exponent.denominator)
    return -size if exponent.numerator % 2 else size


def _root(value, degree):
    """Return the real root where there is one: the cube root of -8 is -2."""
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
    "floor": lambda a: mpmath.floor(_snap(a)),
    "ceil": lambda a: mpmath.ceil(_snap(a)),
    "mod": lambda a, b: a - b * mpmath.floor(_snap(a / b)),
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
