"""Which text of a response is the answer, and which answers equal a ground truth."""

import pytest
from answer_tables import ACCEPT, REJECT, pairs

from verifiers.math.answer import equivalent, find_boxed_answer, grade


@pytest.mark.parametrize(("gold", "answer"), pairs(ACCEPT))
def test_equal_answers_are_accepted(gold, answer):
    assert grade(f"so it is $\\boxed{{{answer}}}$.", gold) == (1.0, "correct")
    assert equivalent(answer, gold)


@pytest.mark.parametrize(("gold", "answer"), pairs(REJECT))
def test_other_answers_are_rejected(gold, answer):
    assert grade(f"so it is $\\boxed{{{answer}}}$.", gold) == (0.0, "wrong")
    assert not equivalent(answer, gold)


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("\\boxed{4}, but on reflection \\boxed{5}", "5"),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\boxed {5}", "5"),
        ("\\boxed 5 apples", "5"),
        ("\\boxed 5.", "5"),
        ("\\fbox{5}", "5"),
        ("\\boxed{\\boxed{7}}", "7"),
        ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
        ("\\boxed{[0, 1\\}}", "[0, 1\\}"),
        ("\\boxed{1} \\boxed{ {2} } \\boxed{3", "{2}"),
        ("\\boxed{x \\\\} y} z", "x \\\\"),
        ("\\boxed{5} \\boxed{}", None),
        ("\\boxed{}", None),
        ("\\boxed{ }", None),
        ("\\boxed{\\frac{5}{1}", None),
        ("\\boxed", None),
        ("\\boxedtext{5}", None),
        ("the answer is 5", None),
        ("$5$", None),
        ("", None),
    ],
)
def test_the_last_complete_box_is_the_answer(response, answer):
    assert find_boxed_answer(response) == answer
    if answer is None:
        assert grade(response, "5") == (0.0, "no_answer")


@pytest.mark.parametrize("gold", ["5", "$5$", "\\boxed{5}", " 5 ", "$$5$$", "x=5"])
def test_a_gold_answer_comes_in_any_dress(gold):
    assert grade("\\boxed{5}", gold) == (1.0, "correct")


@pytest.mark.parametrize(
    "gold", ["$t(0,4]$", "\\frac{", "a \\oops b", "))((", "\\begin{x}", "5 _ 6"]
)
def test_an_unparseable_gold_matches_its_text_alone(gold):
    assert grade(f"\\boxed{{{gold}}}", gold)[0] == float(
        find_boxed_answer(f"\\boxed{{{gold}}}") is not None
    )
    for answer in ("5", "0", "t", "\\oops", "None", "", "\\text{x}"):
        assert grade(f"\\boxed{{{answer}}}", gold)[0] == 0.0


def test_an_empty_gold_is_never_right():
    assert not equivalent("", "") and not equivalent(" ", "5") and not equivalent("$$", "$$ $$")


def test_the_box_of_a_gold_solution_is_opened():
    assert grade("\\boxed{\\frac{1}{2}}", "so it is \\boxed{0.5}") == (1.0, "correct")


@pytest.mark.parametrize("answer", ["\\int_0^1 2x\\,dx", "\\lim_{x\\to0}\\frac{\\sin x}{x}"])
def test_what_only_sympy_knows_is_asked_of_it(answer):
    assert grade(f"\\boxed{{{answer}}}", "1") == (1.0, "correct")
    assert grade(f"\\boxed{{{answer}}}", "2") == (0.0, "wrong")


@pytest.mark.parametrize("answer", ["xY", "Xy", "x Y"])
def test_the_case_of_symbols_counts(answer):
    assert grade(f"\\boxed{{{answer}}}", "xy") == (0.0, "wrong")
