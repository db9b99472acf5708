"""From the notation of an answer to its tree."""

from fractions import Fraction

import pytest

from verifiers.math.notation import normalize
from verifiers.math.parser import parse_expression
from verifiers.math.tokens import ParseError


def test_normalizing_and_parsing_say_what_they_do():
    assert normalize("$\\dfrac{1}{2}$.") == "\\frac{1}{2}"
    assert parse_expression("2x") == ("mul", ("number", Fraction(2)), ("symbol", "x"))
    with pytest.raises(ParseError, match="a number beside a number"):
        parse_expression("1 2")
