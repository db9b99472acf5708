"""Equality of answers as a relation: random numbers and expressions, and every ground truth."""

import random
from fractions import Fraction

import pytest
from answer_tables import GOLDS
from hypothesis import given, settings
from hypothesis import strategies as st

from verifiers.math.answer import equivalent

rationals = st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=10**4)


def write_rational(value: Fraction, style: int) -> str:
    top, bottom = value.numerator, value.denominator
    whole, rest = divmod(abs(top), bottom)
    sign = "-" if top < 0 else ""
    return [
        f"\\frac{{{top}}}{{{bottom}}}",
        f"{sign}\\dfrac{{{3 * abs(top)}}}{{{3 * bottom}}}",
        f"{top}/{bottom}",
        f"{sign}{whole}\\frac{{{rest}}}{{{bottom}}}" if rest and whole else f"{top}/{bottom}",
        f"x = {top}/{bottom}",
    ][style]


@given(rationals, st.integers(0, 4), st.integers(0, 4))
@settings(max_examples=300, deadline=None)
def test_a_rational_equals_itself_however_it_is_written(value, style, other):
    assert equivalent(write_rational(value, style), write_rational(value, other))


@given(rationals, rationals, st.integers(0, 4), st.integers(0, 4))
@settings(max_examples=300, deadline=None)
def test_two_rationals_are_equal_if_and_only_if_they_are(a, b, style, other):
    assert equivalent(write_rational(a, style), write_rational(b, other)) == (a == b)


@given(st.text(alphabet="0123456789", min_size=1, max_size=40), st.data())
@settings(max_examples=200, deadline=None)
def test_a_changed_digit_is_unequal(digits, data):
    position = data.draw(st.integers(0, len(digits) - 1))
    digit = data.draw(st.sampled_from([d for d in "0123456789" if d != digits[position]]))
    changed = digits[:position] + digit + digits[position + 1 :]
    assert not equivalent(f"1{digits}", f"1{changed}")
    assert not equivalent(f"0.{digits}1", f"0.{changed}1")
    assert not equivalent(f"\\sqrt{{1{digits}}}", f"\\sqrt{{1{changed}}}")


@pytest.mark.parametrize("gold", sorted(set(GOLDS)))
def test_every_gold_equals_itself(gold):
    for dress in ("{}", " {} ", "${}$", "{}.", "{{{}}}", "\\displaystyle {}"):
        assert equivalent(gold, dress.format(gold)), dress


def test_equality_is_symmetric_and_tells_golds_apart():
    generator, alike = random.Random(0), 0
    for _ in range(3000):
        a, b = generator.choice(GOLDS), generator.choice(GOLDS)
        equal = equivalent(a, b)
        assert equal == equivalent(b, a), (a, b)
        alike += equal and a != b
    assert alike < 60  # written differently, and of one value


def random_polynomial(generator: random.Random, depth: int) -> str:
    if depth == 0:
        return generator.choice(["x", "y", "2", "3", "7"])
    left, right = (random_polynomial(generator, depth - 1) for _ in range(2))
    operator = generator.choice(["+", "-", "\\cdot "])
    return f"({left}{operator}{right})"


def test_expressions_agree_with_a_brute_force_evaluation():
    generator = random.Random(1)
    for _ in range(300):
        a, b = (random_polynomial(generator, generator.randint(1, 3)) for _ in range(2))
        points = [(x, y) for x in range(-4, 5) for y in range(-4, 5)]  # enough for these degrees

        def values(text, points=points):
            python = text.replace("\\cdot ", "*")
            return [eval(python, {"x": x, "y": y}) for x, y in points]  # noqa: S307  ours

        assert equivalent(a, b) == (values(a) == values(b)), (a, b)
