"""Answers made up to be rewarded, right ones in odd notation, and formulas of the question."""

import pytest
from hardened_tables import ACCEPT, REJECT, pairs
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from taught_tables import TAUGHT_ACCEPT, TAUGHT_REJECT

from verifiers.math.answer import equivalent, find_boxed_answer, grade
from verifiers.math.question import holds_answer


def box(answer: str) -> str:
    return answer if answer.startswith("\\boxed") else f"\\boxed{{{answer}}}"


@pytest.mark.parametrize(("gold", "answer"), pairs(ACCEPT))
def test_right_answers_in_odd_notation_are_accepted(gold, answer):
    assert grade(box(answer), gold) == (1.0, "correct")
    assert equivalent(answer, gold)


@pytest.mark.parametrize(("gold", "answer"), pairs(REJECT))
def test_made_up_answers_are_refused(gold, answer):
    assert grade(box(answer), gold)[0] == 0.0
    if find_boxed_answer(box(answer)) is not None:
        assert not equivalent(answer, gold)


@pytest.mark.parametrize(("question", "gold", "answer", "status"), pairs(TAUGHT_REJECT))
def test_what_leaves_the_work_to_do_is_refused(question, gold, answer, status):
    assert grade(box(answer), gold) == (1.0, "correct")  # the value is right
    assert grade(box(answer), gold, question) == (0.0, status)
    assert grade(box(gold), gold, question) == (1.0, "correct")
    assert (
        status == "wrong"
        or any(s in answer for s in ("km", "=", ">", "%"))
        or holds_answer(question, gold)
    )


@pytest.mark.parametrize(("question", "gold", "answer", "status"), pairs(TAUGHT_ACCEPT))
def test_another_form_of_the_answer_is_accepted(question, gold, answer, status):
    assert grade(box(answer), gold, question) == (1.0, status)


def test_a_question_without_its_answer_holds_none():
    assert not holds_answer("How many apples are $3$ apples and 4 apples?", "7")
    assert not holds_answer("Solve $x^2-5x+6=0$.", "2, 3")
    assert not holds_answer("Is it $\\frac12$ or $\\frac13$?", "\\frac12")


# -- properties ---------------------------------------------------------------------------------

leaves = st.integers(2, 60).map(lambda n: (str(n), n))


def combine(children):
    def join(parts):
        (left, a), (right, b), sign = parts
        value = {"+": a + b, "-": a - b, "\\cdot ": a * b}[sign]
        return f"({left}){sign}({right})", value

    return st.tuples(children, children, st.sampled_from(["+", "-", "\\cdot "])).map(join)


expressions = combine(st.recursive(leaves, combine, max_leaves=4))


@given(expressions, st.sampled_from(["What is ${}$?", "Calculate {}.", "Evaluate \\[{}\\]"]))
@settings(max_examples=200, deadline=None)
def test_the_value_of_a_question_is_right_and_its_expression_is_not(expression, words):
    text, value = expression
    question = words.format(text)
    assert grade(f"\\boxed{{{value}}}", str(value), question) == (1.0, "correct")
    assert grade(f"\\boxed{{{text}}}", str(value), question) == (0.0, "copied")
    assert grade(f"\\boxed{{1\\cdot({text})+0}}", str(value), question)[0] == 0.0
    assert holds_answer(question, str(value))


METRES = {"mm": -3, "cm": -2, "m": 0, "km": 3, "millimeters": -3, "kilometers": 3}
SECONDS = {"ms": -3, "s": 0, "ks": 3}


@given(st.integers(1, 999), *(st.sampled_from(sorted(METRES)) for _ in range(2)), st.integers(1, 3))
@settings(max_examples=200, deadline=None)
def test_lengths_and_areas_are_equal_if_and_only_if_their_size_is(number, unit, other, power):
    gold = f"{number}\\text{{ {unit}}}^{power}"
    shift = power * (METRES[unit] - METRES[other])
    same_size = f"{number}e{shift}\\text{{ {other}}}^{power}"
    assert equivalent(gold, same_size)
    assert equivalent(gold, f"{number}\\text{{ {other}}}^{power}") == (shift == 0)
    assert not equivalent(gold, f"{number}\\text{{ {other}}}^{power % 3 + 1}")
    assert equivalent(gold, str(number))


@given(st.integers(1, 999), *(st.sampled_from(sorted(d)) for d in (METRES, SECONDS, SECONDS)))
@settings(max_examples=100, deadline=None)
def test_speeds_are_no_lengths_and_no_times(number, metre, second, other):
    speed = f"{number}\\text{{ {metre}/{second}}}"
    assert not equivalent(speed, f"{number}\\text{{ {metre}}}")
    assert not equivalent(speed, f"{number}\\text{{ {second}}}")
    assert equivalent(speed, f"{number}\\text{{ {metre}/{other}}}") == (second == other)
    assert equivalent(speed, f"{number}\\text{{ {metre} }}\\text{{{second}}}^{{-1}}")


@given(st.lists(st.integers(-(10**7), 10**7), min_size=2, max_size=4, unique=True), st.data())
@settings(max_examples=100, deadline=None)
def test_a_change_in_any_region_is_seen(places, data):
    low, high = sorted(data.draw(st.permutations(places))[:2])
    middle, half = f"\\frac{{{low + high}}}{{2}}", f"\\frac{{{high - low}}}{{2}}"
    assume(high > low)
    bump = f"\\max(0,{half}-|x-{middle}|)"
    assert not equivalent("x", f"x+{bump}")
    assert equivalent(f"x+{bump}", f"{bump}+x")
    assert not equivalent("3x", f"3x+\\max(0,x-{high})")
    assert not equivalent("3x", f"3x+|x-{high}|+x-{high}")
