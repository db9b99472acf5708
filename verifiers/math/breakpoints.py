"""Where an expression changes its form, and points on every side of these places.

Two expressions with |x + 10000|, floor(n / 1000) or sqrt(...) can agree on a long stretch and
differ beyond it. So they are compared between all zeros of what stands within the bars, far out,
and near zero.
"""

from collections.abc import Iterator

import mpmath
import numpy

from verifiers.math.expression import TooHard, Tree, evaluate, exact, number, symbols

Polynomial = tuple  # coefficients, the constant first

_SIDED = {"abs", "floor", "ceil", "sqrt", "root", "ln", "log"}  # one argument with a sign
_STEPS = {"floor", "ceil", "mod"}
_MAX_DEGREE = 6
_MAX_BRANCHES = 8
_MAX_PLACES = 24
_MAX_NAMES = 3
_DIGITS = 30
_ALMOST_REAL = 1e-5  # part of a double zero that rounding makes imaginary
_FAR = (mpmath.mpf("1.7e4"), mpmath.mpf("3.1e6"), mpmath.mpf("2.3e9"), mpmath.mpf("1.9e15"))
_NEAR = (mpmath.mpf("0.31"), mpmath.mpf("0.77"), mpmath.mpf("0.052"), mpmath.mpf("2.3e-6"))


def has_breakpoints(tree: Tree) -> bool:
    """Return whether an operation with two sides is applied to a symbol."""
    if tree[0] in ("number", "symbol", "infinity"):
        return False
    is_open = tree[0] in _SIDED | {"max", "min", "mod"} or tree[0] == "pow" and _is_root(tree)
    return is_open and bool(symbols(tree)) or any(map(has_breakpoints, tree[1:]))


def list_points(
    trees: tuple[Tree, ...], start: dict[str, mpmath.mpf], integers: set[str], signed: set[str]
) -> Iterator[dict[str, mpmath.mpf]]:
    """Yield values of the symbols on every side of the breakpoints; one symbol varies at a time.

    Args:
        start: values of the symbols that do not vary.
        integers: symbols that stand for positive integers.
        signed: symbols that may be negative.
    """
    for name in sorted(start)[:_MAX_NAMES]:
        with mpmath.workdps(_DIGITS):
            places = _list_places(trees, name, start)
            has_steps = any(_has_steps(tree) for tree in trees)
            listed = _list_values(places, has_steps)
            values = {value for value in listed if value > 0 or name in signed}
            if name in integers:
                values = {mpmath.ceil(abs(value)) for value in values}
        for value in sorted(values, key=abs, reverse=True):  # far out they differ the most
            yield {**start, name: value}


def _list_places(trees: tuple[Tree, ...], name: str, start: dict) -> list:
    """Return the real zeros of what the operations with two sides are applied to, in order."""
    places: list = []
    for tree in trees:
        for inside, shift in _list_insides(tree):
            for polynomial in _branches(inside, name, start):
                coefficients = [polynomial[0] - shift, *polynomial[1:]]
                places += _real_zeros(coefficients)
    return sorted(places, key=abs)[:_MAX_PLACES]


def _list_insides(tree: Tree) -> Iterator[tuple[Tree, int]]:
    if tree[0] in ("number", "symbol", "infinity"):
        return
    operator, *arguments = tree
    if operator in _SIDED or operator == "pow" and _is_root(tree):
        shifts = (0, 1, -1) if operator in _STEPS else (0,)
        yield from ((arguments[0], shift) for shift in shifts)
    elif operator in ("max", "min"):
        yield ("add", arguments[0], ("mul", number(-1), arguments[1])), 0
    elif operator == "mod":
        yield from ((("div", *arguments), shift) for shift in (0, 1, -1))
    for argument in arguments:
        yield from _list_insides(argument)


def _has_steps(tree: Tree) -> bool:
    if tree[0] in ("number", "symbol", "infinity"):
        return False
    return tree[0] in _STEPS or any(map(_has_steps, tree[1:]))


def _list_values(places: list, has_steps: bool) -> Iterator:
    """Yield points between the places, beyond them, at them, and far and near."""
    ordered = sorted(set(places))
    for low, high in zip(ordered, ordered[1:]):
        yield low + (high - low) * mpmath.mpf("0.43")
    for place in ordered:
        yield place
        if has_steps:
            yield from (place + mpmath.mpf("0.37"), place - mpmath.mpf("0.37"))
    if ordered:
        width = 1 + max(abs(ordered[0]), abs(ordered[-1]))
        yield from (ordered[0] - mpmath.mpf("0.71") * width, ordered[-1] + width * 3)
        yield from (ordered[0] - width * 5, ordered[-1] + width * 1000)
    for size in _FAR + _NEAR:
        yield from (size, -size)


def _branches(tree: Tree, name: str, start: dict) -> list[Polynomial]:
    """Return the polynomials in one symbol that an expression may be; none if it is another.

    |g| is g or -g, max(a, b) is a or b, and floor(g) is close to g.
    """
    operator, *arguments = tree
    if name not in symbols(tree):
        try:
            return [(mpmath.re(evaluate(tree, start)),)]
        except (TooHard, KeyError):
            return []
    if operator == "symbol":
        return [(mpmath.mpf(0), mpmath.mpf(1))]
    if operator in ("floor", "ceil"):
        return _branches(arguments[0], name, start)
    if operator in ("max", "min"):
        return (_branches(arguments[0], name, start) + _branches(arguments[1], name, start))[
            :_MAX_BRANCHES
        ]
    if operator == "abs":
        inside = _branches(arguments[0], name, start)
        return (inside + [tuple(-c for c in p) for p in inside])[:_MAX_BRANCHES]
    if operator == "pow":
        return _branches_of_power(tree, name, start)
    if operator not in ("add", "mul", "div"):
        return []
    left, right = (_branches(argument, name, start) for argument in arguments)
    combine = {"add": _add, "mul": _multiply, "div": _divide}[operator]
    found = [combine(a, b) for a in left for b in right][:_MAX_BRANCHES]
    return [polynomial for polynomial in found if polynomial and len(polynomial) <= _MAX_DEGREE + 1]


def _branches_of_power(tree: Tree, name: str, start: dict) -> list[Polynomial]:
    try:
        exponent = exact(tree[2])
    except TooHard:
        return []
    if exponent is None or exponent.denominator > 1 or not 1 <= exponent <= _MAX_DEGREE:
        return []
    powers = []
    for base in _branches(tree[1], name, start):
        power = base
        for _ in range(int(exponent) - 1):
            power = _multiply(power, base)
        powers.append(power)
    return [polynomial for polynomial in powers if len(polynomial) <= _MAX_DEGREE + 1]


def _add(a: Polynomial, b: Polynomial) -> Polynomial:
    longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
    return tuple(c + d for c, d in zip(longer, shorter)) + longer[len(shorter) :]


def _multiply(a: Polynomial, b: Polynomial) -> Polynomial:
    product = [mpmath.mpf(0)] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            product[i + j] += x * y
    return tuple(product)


def _divide(a: Polynomial, b: Polynomial) -> Polynomial:
    """Return a / b; the zeros alone matter, so a denominator with the symbol is left out."""
    return tuple(c / b[0] for c in a) if len(b) == 1 and b[0] else a


def _real_zeros(coefficients: list) -> list:
    """Return the real zeros of a polynomial, roughly: they tell where to place points."""
    while len(coefficients) > 1 and not coefficients[-1]:
        coefficients.pop()
    zeros = []
    while len(coefficients) > 1 and not coefficients[0]:
        coefficients, zeros = coefficients[1:], [mpmath.mpf(0)]
    if len(coefficients) == 2:
        return [*zeros, -coefficients[0] / coefficients[1]]
    if len(coefficients) < 2:
        return zeros
    try:
        roots = numpy.roots([float(c / coefficients[-1]) for c in coefficients[::-1]])
    except (OverflowError, numpy.linalg.LinAlgError):
        return zeros
    return zeros + [mpmath.mpf(z.real) for z in roots if abs(z.imag) < _ALMOST_REAL * (1 + abs(z))]


def _is_root(tree: Tree) -> bool:
    try:
        exponent = exact(tree[2])
    except TooHard:
        return False
    return exponent is not None and exponent.denominator > 1
