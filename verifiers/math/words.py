"""Tells words and names from formulas: Evelyn, even, f(x), Area are not products of letters."""

import re

from verifiers.math import units

_NAME = re.compile(
    r"^(?:\\text ?\{[^{}]*\}|\\(?:angle|triangle|overline|vec|hat|bar|dot)\b ?"
    r"|\\[A-Za-z]+(?![A-Za-z])|[A-Za-z]|[|{}'^*]|_(?:\w|\{[^{}]*\})|\s)+(?:\([^()=]*\))?\s*$"
)
_VALUE_OF_FUNCTION = re.compile(  # f^{-1}(3), P(X = 1), f(g(3)), [ABC]
    r"^(?:[fghFGHPEpqu](?: ?\^ ?\{? ?-1 ?\}?|')?|\\Pr|\\text ?\{[^{}]*\}) ?"
    r"\([^()]*(?:\([^()]*\)[^()]*)*\)$|^\[[A-Z]{3,}\]$"
)
_LABEL = r"(?:[A-Z]{2,}'?|[A-Z]_ ?(?:\w|\{ ?(?:\\(?:triangle|angle) ?)?[A-Z]{2,} ?\}))"
_RATIO_OF_LABELS = re.compile(  # \frac{NO}{BO}, AB:CD, S_{MBCN}:S
    rf"^(?:\\frac ?\{{ ?{_LABEL} ?\}} ?\{{ ?{_LABEL} ?\}}|{_LABEL} ?[:/] ?(?:{_LABEL}|[A-Z])"
    r"|[A-Z] ?: ?[A-Z])$"
)
_DERIVATIVE = re.compile(  # \\frac{dy}{dx}, \\frac{d^2y}{dx^2}
    r"^\\frac ?\{ ?d ?(?:\^ ?\d ?)?[A-Za-z] ?\} ?\{ ?d ?[a-z] ?(?:\^ ?\d ?)?\}$"
)
_MEASURE = re.compile(r"^m ?(?=\\angle)")  # m\\angle A, the measure of the angle
_FUNCTION_IN_NAME = re.compile(r"(?<!\{)\\(?:sin|cos|tan|cot|sec|csc|log|ln|exp)")
_NOT_IN_NAME = re.compile(r"\\(?:frac|sqrt|binom|begin|pm|mp|cup|int|sum)|\^ ?[^'*\\{]")
_TUPLE_OF_NAMES = re.compile(
    r"^\( ?(?:[A-Za-z]|\\[a-z]+)(?:_\w)?'?(?: ?, ?(?:[A-Za-z]|\\[a-z]+)(?:_\w)?'?)+ ?\)$"
)
_WORD_RUN = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}(?![A-Za-z])")
_SHORT_WORDS = set(
    """no yes odd red one two six ten all any not nor the top low may sun mon tue wed thu fri sat
    dog cat day lie tie win bob tom sam joe kim amy ann eve ian leo max ray roy ted tim true
    none zero both even east west""".split()
)
_DOUBTS = re.compile(
    r"\b(?:not?|nor|never|neither|isn|aren|wrong|false|untrue|incorrect|except|unless|instead"
    r"|rather|maybe|perhaps|possibly|either|minus|opposite|negat\w+|reject\w*|exclud\w*|choose"
    r"|hoax|fake|wasn|cannot be right|other than|anything but)\b"
    r"|^\W*(?:is|was|are|looks|seems|but|or|and)\b",
    re.IGNORECASE,
)
_THE_ANSWER = re.compile(
    r"\W*(?:(?:so|thus|hence|our|my|the|final|correct|right|answer|is|value)\b\W*)+", re.IGNORECASE
)
_TEXT = re.compile(r"\\text\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_TOKEN_OF_WORDS = re.compile(r"(?<![\\\w])[A-Za-z]+(?!\w)")
_KNOWN_WORDS = re.compile(
    r"^(?:arc|a)?(?:sin|cos|tan|cot|sec|csc|cosec)h?$"
    r"|^(?:sqrt|log|exp|pi|infty|infinity|max|min|gcd|lcm|floor|ceil|abs|ln)$"
)


def is_words(text: str) -> bool:
    """Return whether an answer is words rather than a formula."""
    if "\\begin" in text:
        return False
    rest = re.sub(r"\\text ?\{[^{}]*\}", "", text)
    if not rest.strip(" .,'-()\"") and re.search(r"[A-Za-z]{2}", text.replace("\\text", "")):
        inner = text.replace("\\text", " ")
        return not re.search(r"\d", inner) or not units.split_unit(text)[1]
    for run in _WORD_RUN.findall(re.sub(r"_ ?\{[^{}]*\}", "", rest)):
        if (
            run.lower() in _SHORT_WORDS
            or not _KNOWN_WORDS.match(run.lower())
            and _looks_like_word(run)
        ):
            return not units.split_unit(text)[1]
    return False


def _looks_like_word(run: str) -> bool:
    lower = run.lower()
    in_order = all(a < b for a, b in zip(lower, lower[1:]))
    is_long = len(run) >= (5 if run.isupper() else 4)
    return is_long and not in_order and re.search("[aeiouy]", lower) is not None


def is_name(text: str) -> bool:
    """Return whether the text is a name: x, f(x), X_d, AB, (x, y), \\text{Area}."""
    if _TUPLE_OF_NAMES.match(text):  # in the usual order: (x, y), not (y, x)
        names = re.findall(r"[A-Za-z]+", text)
        return names == sorted(names, key=str.lower)
    text = _MEASURE.sub("", text)
    if doubts(" ".join(_TEXT.findall(text))):
        return False
    if _DERIVATIVE.match(text):
        return True
    if _VALUE_OF_FUNCTION.match(text) or _RATIO_OF_LABELS.match(text):
        return True
    if (
        len(text) > 60
        or not _NAME.match(text)
        or _NOT_IN_NAME.search(text)
        or _FUNCTION_IN_NAME.search(text)
    ):
        return False
    letters = re.sub(
        r"\\text ?\{[^{}]*\}|\([^()]*\)|_ ?(?:\w|\{[^{}]*\})|\\[A-Za-z]+|[^A-Za-z]", "", text
    )
    return len(letters) <= 1 or letters.isupper()


def doubts(text: str) -> bool:
    """Return whether words deny, question or change what stands beside them."""
    if re.search(r"\banswer\b", text, re.IGNORECASE):  # half the answer, the opposite of it
        return not _THE_ANSWER.fullmatch(text)
    return bool(_DOUBTS.search(text))


def canonical_words(text: str) -> str:
    """Return an answer in words for comparison: no \\text, single spaces, words in one case.

    Case and punctuation stay in symbols: AB is not ab, 25! is not 25, mHz is not MHz.
    """
    while True:
        inner = _TEXT.sub(r"\1", text)
        if inner == text:
            break
        text = inner
    words = " ".join(text.replace("~", " ").replace('"', "").split())
    words = re.sub(r"^(?:an?|[Tt]he|An) (?=[a-z]{3,}$)", "", words)  # an ellipse
    words = re.sub(r"(?<=[a-z])[.,;:!]+$|(?<=[A-Z]{2})[.,;:]+$|(?<=\w)\.$", "", words)
    return _TOKEN_OF_WORDS.sub(lambda match: _fold(match[0]), words)


def _fold(word: str) -> str:
    is_word = word.islower() or word.istitle() or word.isupper() and len(word) > 3
    is_word = is_word and len(word) > 2 or word.lower() in _SHORT_WORDS
    return word.casefold() if is_word else word


def canonical_name(text: str) -> str:
    """Return a name in one spelling: without spaces, \\text and unneeded braces."""
    text = re.sub(r"\\text ?\{([^{}]*)\}", r"\1", _MEASURE.sub("", text))
    text = re.sub(r"\\overline ?\{ ?([A-Z]{2}) ?\}$", r"\1", text)  # the segment AB
    text = re.sub(r"\\(vec|hat|bar|dot|ddot|tilde|overline) ?([A-Za-z])$", r"\\\1{\2}", text)
    return re.sub(r"_\{(\w)\}", r"_\1", text.replace(" ", ""))
