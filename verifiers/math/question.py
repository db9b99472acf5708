r"""Tells an answer from a formula of the question: boxing the question is not answering it.

An answer that is written as the ground truth is right. One that is equal to it, but stands in the
question or leaves work to do that the ground truth has done, is not the answer.
"""

import re
from functools import lru_cache

from verifiers.math import form
from verifiers.math.brackets import split_top_level, strip_braces
from verifiers.math.choices import read_choice
from verifiers.math.expression import CONSTANTS, TooHard, Tree, exact, number, symbols
from verifiers.math.expression_equality import equal
from verifiers.math.kinds import Answer, Matrix, Named, Reals, Relation, Scalar, Sequence
from verifiers.math.notation import normalize, squeeze
from verifiers.math.parser import parse_expression
from verifiers.math.reader import read_answer
from verifiers.math.tokens import ParseError
from verifiers.math.words import is_name

_MAX_CHARACTERS = 20_000  # of a question; formulas beyond are not read
_MAX_FORMULAS = 400
_SMALL = 10  # a number below it stands in a question by chance
_MATHS = re.compile(
    r"\$\$(.+?)\$\$|\$(.+?)\$|\\\[(.+?)\\\]|\\\((.+?)\\\)"
    r"|\\begin\{(?:align|equation|gather)\*?\}(.+?)\\end",
    re.DOTALL,
)
_PICTURE = re.compile(r"\[asy\].*?\[/asy\]", re.DOTALL)
_PROSE = re.compile(  # a word that is no function, or punctuation that ends a formula
    r"(?<![\\A-Za-z])(?!(?:sqrt|sin|cos|tan|cot|sec|csc|log|ln|exp|pi|mod|binom)\b)[A-Za-z]{2,}"
    r"|[?:;\"]|[.,](?=\s|$)|\n"
)
_FORMULA_IN_PROSE = re.compile(r"[\d)}][!²³]|\d\s*[A-Za-z]|[-+*/^=√−×÷]|\\[A-Za-z]|\d[.,]\d|\d{2}")
_SPLIT = re.compile(
    r"\\leq(?![a-z])|\\geq(?![a-z])|\\neq(?![a-z])|\\approx(?![a-z])|\\equiv(?![a-z])|[<>=,;:&]"
    r"|\\(?:text|pmod)\s*\{[^{}]*\}|\\(?:ldots|to|cr|quad|Rightarrow|implies)(?![a-z])"
)
_FOR_SYMPY = re.compile(r"\\(?:int|sum|prod|lim|iint|oint|det)(?![a-z])|\\begin\{[vV]matrix\}")
_SET_WORK = re.compile(  # of sets that are written out
    r"\\cap(?![a-z])|\\\} ?\\(?:cup|setminus) ?\\\{"
)
_ASKS_FOR_FORM = re.compile(
    r"fraction|decimal|percent|simpl|reduce|lowest|mixed|convert|express|write|form\b|scientific"
    r"|standard notation",
    re.I,
)
_ASKS_TO_REDUCE = re.compile(
    r"\bsimplif|simplest|\breduce\b(?! by)|lowest terms|\bas a decimal|decimal form", re.I
)
_SPEAKS_OF_POWERS = re.compile(
    r"\b(?:which|what|as) (?:an? )?powers? of|\bpowers of|\bexponent|prime fact|\ba ?\^"
    r"|\bpower of (?:\W*\d|two|three|five|ten|a\b|an? integer)",
    re.I,
)
_ASKS_TO_SOLVE = re.compile(r"\bsolve|in terms of|slope.intercept|as a function", re.I)
_CONDITION = re.compile(r",|;|\\(?:text ?\{[^{}]*\}|vee|wedge|cr)|\\\{ ?[A-Za-z] ?[:|]|\\\}")
_RELATION = re.compile(r"\\(?:[lgn]eq|approx|equiv)(?![a-z])|[<>=]")
_ASKS_TO_EXPAND = re.compile(
    r"\bexpand|multiply out|standard form|to the form|collect (?:the|like|terms)", re.I
)
_ASKS_TO_FACTOR = re.compile(r"\bfactor", re.I)


def find_fault(gold: str, answer: str, question: str) -> str:
    """Return why an answer that equals the ground truth is not the answer; "" if it is.

    Args:
        gold, answer: normalised.

    Returns:
        "copied": it stands in the question. "wrong": it leaves work to do.
    """
    choices = read_choice(gold), read_choice(answer)
    if all(choices):
        return ""
    gold, answer = (
        choice.value if choice and choice.value else text
        for choice, text in zip(choices, (gold, answer))
    )
    if squeeze(gold) == squeeze(answer):
        return ""
    if _SET_WORK.search(answer.rpartition("=")[2]) and not _SET_WORK.search(gold):
        return "wrong"
    try:
        wanted, given = read_answer(gold), read_answer(answer)
    except (ParseError, TooHard, RecursionError, OverflowError):
        return _find_fault_of_text(gold, answer, question)
    try:
        return _find_fault_of_form(gold, wanted, answer, given, question)
    except RecursionError:  # nested deeper than what can be looked at
        return "wrong"


def _find_fault_of_form(
    gold: str, wanted: Answer, answer: str, given: Answer, question: str
) -> str:
    """Return the fault of an answer that has been read; each comes as its text and its kind."""
    golds, answers = leaves(wanted), leaves(given)
    forms = {form.canonical(tree) for tree in golds}
    others = [tree for tree in answers if form.canonical(tree) not in forms]
    if _is_converted(wanted, given, answer, question):
        return "copied"
    if any(_is_copied(tree, golds, question) for tree in others):
        return "copied"
    if len(golds) == 1 and any(_wraps_copy(tree, golds[0], question) for tree in others):
        return "copied"
    if _is_unsolved(answer) and not _is_unsolved(gold):
        if not any(symbols(tree) - CONSTANTS for tree in golds) or _ASKS_TO_SOLVE.search(question):
            return "copied" if _is_relation_of(answer, question) else "wrong"
    if len(golds) == len(others) == 1 and _ASKS_TO_REDUCE.search(question):
        if form.is_less_reduced(golds[0], others[0]):
            return "wrong"
    return "wrong" if others and _leaves_work(golds, others, question) else ""


def holds_answer(question: str, ground_truth: str) -> bool:
    """Return whether a formula of the question equals the ground truth and is written otherwise.

    Copying it would be right by its value alone.
    """
    try:
        gold = read_answer(strip_braces(normalize(ground_truth)))
        golds = leaves(gold)
        if len(golds) != 1:
            return False
        return any(
            tree != form.canonical(golds[0])
            and symbols(source) - CONSTANTS == symbols(golds[0]) - CONSTANTS
            and _is_copied(source, golds, question)
            and equal(source, golds[0])
            for tree, source in formulas(question).items()
        )
    except (ParseError, TooHard, RecursionError, OverflowError):
        return False


def leaves(answer: Answer) -> list[Tree]:
    """Return the expressions that an answer is made of; an equation is left - right."""
    if isinstance(answer, Scalar):
        return [answer.tree]
    if isinstance(answer, Named):
        return leaves(answer.value)
    if isinstance(answer, Sequence):
        return [tree for item in answer.items for tree in leaves(item)]
    if isinstance(answer, Matrix):
        return [tree for row in answer.rows for cell in row for tree in leaves(cell)]
    if isinstance(answer, Reals):
        bounds = [bound for piece in answer.pieces for bound in (piece.low, piece.high)]
        return [bound for bound in bounds if bound[0] != "infinity"]
    return [_one_sign(answer.difference)] if isinstance(answer, Relation) else []


def _without_degrees(tree: Tree) -> Tree:
    """Return an expression without its degree signs, which hide no work: 7*8 degrees."""
    if tree[0] in ("number", "symbol", "infinity"):
        return tree
    parts = tuple(map(_without_degrees, tree[1:]))
    return parts[0] if tree[0] == "degrees" else (tree[0], *parts)


@lru_cache(maxsize=256)
def formulas(question: str) -> dict[Tree, Tree]:
    """Return the expressions of a question and their parts: in canonical form, and as read."""
    found: dict[Tree, Tree] = {}
    for text in _list_formulas(question)[:_MAX_FORMULAS]:
        try:
            parts = split_top_level(normalize(text), _SPLIT)
        except ParseError:
            parts = _SPLIT.split(normalize(text))
        trees = [_parse(part.strip()) for part in parts]
        for tree in filter(None, trees):
            for part in _list_parts(tree):
                found.setdefault(form.canonical(part), part)
        for left, right in zip(trees, trees[1:]):
            if left and right:
                equation = _one_sign(("add", left, ("mul", number(-1), right)))
                found.setdefault(form.canonical(equation), equation)
    return found


def _list_formulas(question: str) -> list[str]:
    """Return the formulas between dollar signs, and what looks like one in the text."""
    question = _PICTURE.sub(" ", question[:_MAX_CHARACTERS]).replace("\\$", " ")
    marked = [next(filter(None, match), "") for match in _MATHS.findall(question)]
    prose = [part.strip(" .,") for part in _PROSE.split(_MATHS.sub(" ; ", question))]
    return marked + [part for part in prose if _FORMULA_IN_PROSE.search(part)]


def _list_parts(tree: Tree) -> list[Tree]:
    """Return an expression and its parts that hold an operation."""
    parts, todo = [], [tree]
    while todo:
        part = todo.pop()
        if part is tree or part[0] not in ("number", "symbol", "infinity"):
            parts.append(part)
        if part[0] not in ("number", "symbol", "infinity"):
            todo += part[1:]
    return parts


def _parse(text: str) -> Tree | None:
    try:
        return parse_expression(strip_braces(text)) if text else None
    except (ParseError, TooHard, RecursionError, OverflowError):
        return None


def _one_sign(tree: Tree) -> Tree:
    """Return a difference or its negative, whichever comes first: x = y is y = x."""
    return min(tree, ("mul", number(-1), tree), key=lambda side: repr(form.canonical(side)))


def _is_copied(tree: Tree, golds: list[Tree], question: str) -> bool:
    """Return whether an expression stands in the question.

    A number may stand there by chance: it is copied where the question asks for another form.
    """
    if tree[0] == "symbol" or form.canonical(tree) not in formulas(question):
        return False
    if not form.is_plain(tree):
        return True
    if exact(tree).denominator == 1 and tree[0] == "number":
        is_open = any(form.work(gold) & {"power", "product", "sum"} for gold in golds)
        if _ASKS_FOR_FORM.search(question):
            is_open |= not all(map(form.is_plain, golds))  # 4500 for 4.5 * 10^3
        return abs(exact(tree)) >= _SMALL and is_open
    return bool(_ASKS_FOR_FORM.search(question))


def _wraps_copy(tree: Tree, gold: Tree, question: str) -> bool:
    """Return whether a part of an expression is a copy that has its whole value: |f|, max(f, f)."""
    return any(
        part != tree
        and form.canonical(part) != form.canonical(gold)
        and not form.is_plain(part)
        and _is_copied(part, [gold], question)
        and equal(part, gold)
        for part in _list_parts(tree)
    )


def _leaves_work(golds: list[Tree], answers: list[Tree], question: str) -> bool:
    """Return whether an answer holds an operation that the ground truth has carried out."""
    done = frozenset().union(*map(form.work, golds))
    left = frozenset().union(*(form.work(_without_degrees(tree)) for tree in answers))
    left -= _allow(done, golds, question)
    if _ASKS_TO_FACTOR.search(question) and len(golds) == len(answers) == 1:
        return bool(left) or _is_less_factored(golds[0], answers[0])
    return bool(left)


def _allow(done: frozenset[str], golds: list[Tree], question: str) -> set[str]:
    """Return the operations that may stay in an answer: those of the ground truth, and their like.

    An exponential may be written with hyperbolic functions, a factorial as a binomial.
    """
    allowed = {"exponential", *done}
    if not _ASKS_TO_EXPAND.search(question):
        allowed |= {"brackets"}
    if done & {"factorial", "binomial"}:
        allowed |= {"factorial", "binomial", "product", "power", "division"}
    if "power" in done or _SPEAKS_OF_POWERS.search(question):
        allowed |= {"power"} if "power" in done else {"power", "product"}
    if done & {"function", "exponential"}:
        allowed |= {"function", "root"}
    if "root" in done:
        allowed |= {"abs"}
    if done & form.PIECEWISE:
        allowed |= form.PIECEWISE
    if any(symbols(gold) - CONSTANTS for gold in golds):  # n over 2 for n (n - 1) / 2
        allowed |= {"function", "factorial", "binomial", *form.PIECEWISE}
    return allowed


def _is_less_factored(gold: Tree, answer: Tree) -> bool:
    wanted, given = _count_factors(gold), _count_factors(answer)
    return wanted > (1, 0) and (given[0] < wanted[0] or given[1] < wanted[1])


def _count_factors(tree: Tree) -> tuple[int, int]:
    """Return how many factors of an expression hold a symbol, and whether one is a number."""
    _, above, _ = form.factors(tree)
    counts = [
        int(exact(part[2])) if part[0] == "pow" and form.is_plain(part[2]) else 1
        for part in above
        if symbols(part) - CONSTANTS
    ]
    return sum(counts), int(any(part[0] == "number" and part[1] != 1 for part in above))


def _is_unsolved(text: str) -> bool:
    """Return whether a condition has no side that is a quantity alone: 2x > 4, x + 1 = 3."""
    for condition in _CONDITION.split(text):
        texts = [side.strip() for side in _RELATION.split(condition)]
        sides = [_parse(text) for text in texts]
        if len(sides) < 2 or not all(sides) or any(map(is_name, texts)):
            continue
        alone = [side for side in sides if side[0] == "symbol" or side[0] == "abs"]
        if not alone and any(symbols(side) - CONSTANTS for side in sides):
            return True
    return False


def _is_relation_of(answer: str, question: str) -> bool:
    sides = [_parse(side.strip()) for side in _RELATION.split(answer)]
    return all(
        side and (side[0] in ("number", "symbol") or form.canonical(side) in formulas(question))
        for side in sides
    )


def _is_converted(gold: Answer, answer: Answer, text: str, question: str) -> bool:
    """Return whether the answer is a quantity of the question, in another unit than the gold."""
    if not (isinstance(gold, Scalar) and isinstance(answer, Scalar)):
        return False
    if not (gold.unit and answer.unit) or gold.unit == answer.unit:
        return False
    if form.canonical(gold.tree) == form.canonical(answer.tree):
        return False
    digits = re.match(r"[\d.]+", text)
    return bool(digits and re.search(rf"(?<![\d.]){re.escape(digits[0])}(?!\d)", question))


def _find_fault_of_text(gold: str, answer: str, question: str) -> str:
    """Judge what only sympy can compare: an integral, a sum or a limit that is not carried out."""
    if _FOR_SYMPY.search(gold) or not _FOR_SYMPY.search(answer):
        return ""
    own, whole = (re.sub(r"[{}\s]", "", text) for text in (answer, normalize(question)))
    return "copied" if own in whole else "wrong"
