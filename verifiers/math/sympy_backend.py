"""Compares integrals, sums, products and limits: latex2sympy2_extended reads, sympy compares.

It takes milliseconds to minutes and is therefore the last resort. The pool's time limit ends what
takes too long.
"""

import re

import sympy
from latex2sympy2_extended import latex2sympy

_POINTS = (sympy.Rational(13, 17), sympy.Rational(23, 11))  # values of the symbols of an expression
_DIGITS = 40
_TOLERANCE = sympy.Float(10) ** -25


def equal(gold: str, answer: str) -> bool:
    """Return whether both are equal expressions: at two points, and by simplifying to 0."""
    try:
        left, right = _parse(gold), _parse(answer)
        if not isinstance(left, sympy.Expr) or not isinstance(right, sympy.Expr):
            return False
        difference = (left - right).doit()
        names = sorted(difference.free_symbols, key=str)
        for shift, point in enumerate(_POINTS):
            values = {name: point + shift + i for i, name in enumerate(names)}
            value = difference.subs(values).evalf(_DIGITS)
            if value.is_number and value.is_finite and abs(value) > _TOLERANCE:
                return False
        return sympy.simplify(difference) == 0
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception:  # both libraries raise many kinds; equality is then not shown
        return False


def _parse(text: str) -> sympy.Expr:
    text = re.sub(r"\\text ?\{([A-Za-z])\}", r"\1", text)
    text = re.sub(r"\\frac ?(\d) ?(\d)", r"\\frac{\1}{\2}", text)  # the grammar needs braces
    tree = latex2sympy(text)
    imaginary = {symbol: sympy.I for symbol in tree.free_symbols if str(symbol) == "i"}
    return tree.subs(imaginary)
