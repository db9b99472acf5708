"""Grades a maths response: is its boxed answer equal to the ground truth?

The answer is what stands in the last complete box, and nothing else. Two answers are compared as
text first, then as structures of exact numbers and expressions (answer_equality.py). Integrals,
sums, products and limits alone go to latex2sympy2_extended and sympy (sympy_backend.py).
"""

import re

from verifiers.math import sympy_backend
from verifiers.math.answer_equality import same
from verifiers.math.brackets import strip_braces
from verifiers.math.choices import same_choice
from verifiers.math.expression import TooHard
from verifiers.math.notation import normalize, squeeze
from verifiers.math.question import find_fault
from verifiers.math.reader import read_answer
from verifiers.math.tokens import ParseError
from verifiers.math.words import canonical_words

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_BRACE = re.compile(r"(?<!\\)(?:\\\\)*[{}]")
_BARE_CONTENT = re.compile(r"[^\s{}$\\]+")
_MAX_CHARACTERS = 5_000  # in an answer; a longer one is compared only as text
_CAPITALIZED = re.compile(r"^[A-Z][a-z]{2,}$")
_FOR_SYMPY = re.compile(r"\\(?:int|sum|prod|lim|iint|oint)(?![a-z])")
_DOMAIN = re.compile(r"\\in ?(\\mathbb\{[A-Z]\}(?: ?[\^_] ?\{?[+*]\}?)?)")
_WITH_COMPANY = re.compile(
    r"\\text ?\{(?! ?[A-Za-z] ?\})"
    r"|(?<![\\A-Za-z])(?:(?!(?:d[a-z])+\b)[A-Za-z]{4,}|(?:or|and|not|no)(?![a-z]))"
    r"|[,;&]|\\(?:vee|wedge|cup|cr|pm|mp|usd)(?![a-z])|[<>]|\\[lgn]eq|%"
)


def grade(response: str, ground_truth: str, question: str | None = None) -> tuple[float, str]:
    """Return (outcome reward, status): 1.0 "correct", 0.0 "wrong", "copied" or "no_answer".

    The caller must limit time and memory.

    Args:
        question: the text of the question. With it, an answer must also have the form of one: what
            stands in the question, or leaves work to do, is refused (question.py). "": an unknown
            question, of which nothing is copied. None: the value decides.
    """
    answer = find_boxed_answer(response)
    if answer is None:
        return 0.0, "no_answer"
    gold = find_boxed_answer(ground_truth) or ground_truth
    if not equivalent(gold, answer):
        return 0.0, "wrong"
    if question is None or gold.strip() == answer.strip():
        return 1.0, "correct"
    gold, answer = (strip_braces(normalize(text)) for text in (gold, answer))
    fault = find_fault(gold, answer, question)
    return (0.0, fault) if fault else (1.0, "correct")


def find_boxed_answer(text: str) -> str | None:
    r"""Return what stands in the last complete \boxed{...}; None if there is none, or it is empty.

    Braces may nest. \boxed 5 (up to the next space), \boxed {5} and \fbox{5} are boxes too.
    """
    closed_by: dict[int, int] = {}  # position of an opening brace: position of its closing brace
    opened: list[int] = []
    for brace in _BRACE.finditer(text):
        position = brace.end() - 1
        if text[position] == "{":
            opened.append(position)
        elif opened:
            closed_by[opened.pop()] = position
    for box in reversed(list(_BOX.finditer(text))):
        start = box.end()
        if text.startswith("[", start):  # \boxed[5]{6} is no LaTeX: which of them would it be?
            continue
        if start in closed_by:
            return text[start + 1 : closed_by[start]].strip() or None
        bare = _BARE_CONTENT.match(text, start)
        if bare:
            return bare[0].rstrip(".,;:") or None
    return None


def equivalent(gold: str, answer: str) -> bool:
    """Return whether two LaTeX answers are mathematically equal and of the same kind."""
    if gold.strip() == answer.strip():
        return bool(gold.strip())
    if len(answer) > _MAX_CHARACTERS or len(gold) > _MAX_CHARACTERS:
        return False
    gold, answer = (strip_braces(normalize(text)) for text in (gold, answer))
    if not gold or not answer:
        return False
    if squeeze(gold) == squeeze(answer):
        return True
    domains = [set(_DOMAIN.findall(text)) for text in (gold, answer)]
    if all(domains) and domains[0] != domains[1]:  # k in N is not k in Z
        return False
    choice = same_choice(gold, answer, equivalent)
    if choice is not None:
        return choice
    try:
        is_same = same(read_answer(gold), read_answer(answer))
    except (ParseError, TooHard, RecursionError, OverflowError):
        is_same = _same_in_sympy(gold, answer)
    return is_same or _same_words(gold, answer)


def _same_words(gold: str, answer: str) -> bool:
    words = [canonical_words(text) for text in (gold, answer)]
    is_text = "\\text" in gold + answer and len(words[0]) > 1
    is_name = any(map(_CAPITALIZED.match, (gold, answer)))  # Ben equals ben
    return words[0] == words[1] and (is_text or is_name)


def _same_in_sympy(gold: str, answer: str) -> bool:
    """Compare with sympy what only sympy can evaluate; what it cannot decide is not equal.

    An integral with words, or in a list, is not an integral.
    """
    if not (_FOR_SYMPY.search(gold) or _FOR_SYMPY.search(answer)):
        return False
    if any(map(_WITH_COMPANY.search, (gold, answer))):
        return False
    return sympy_backend.equal(gold, answer)
