"""Brackets and commas of a normalised answer, as text: split outside brackets, find partners."""

import re

from verifiers.math.tokens import ParseError

_THOUSANDS = re.compile(r"(?<![\d,.])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])")
_LIST_IN_TEXT = re.compile(
    r"^\\text ?\{(\s*\(?[A-Z]\)?(?:\s*(?:,|and|or|&)+\s*\(?[A-Z]\)?)*)\s*\}$"
)
_OPENERS, _CLOSERS = "([{", ")]}"


def split_top_level(text: str, pattern: re.Pattern) -> list[str]:
    """Split the text where the pattern matches outside all brackets."""
    parts, start = [], 0
    for begin, end in _spans(text, pattern):
        parts.append(text[start:begin])
        start = end
    return [*parts, text[start:]]


def find_top_level(text: str, pattern: re.Pattern) -> list[str]:
    """Return what the pattern matches outside all brackets."""
    return [text[begin:end].strip() for begin, end in _spans(text, pattern)]


def _spans(text: str, pattern: re.Pattern) -> list[tuple[int, int]]:
    spans = [match.span() for match in pattern.finditer(text)]
    if not spans:
        return []
    depth, depths = 0, []
    for character in text:
        depth -= character in _CLOSERS
        depths.append(depth)
        depth += character in _OPENERS
        if depth < 0:
            raise ParseError("unbalanced brackets")
    if depth:
        raise ParseError("unbalanced brackets")
    return [(begin, end) for begin, end in spans if depths[begin] == 0]


def find_partner(text: str) -> int:
    """Return where the first bracket of the text closes; -1 if it does not."""
    depth = 0
    for position, character in enumerate(text):
        depth += (character in _OPENERS) - (character in _CLOSERS)
        if depth == 0 and character in _CLOSERS:
            return position
    return -1


def strip_braces(text: str) -> str:
    """Return a normalised answer without the braces around the whole of it."""
    while text.startswith("{") and find_partner(text) == len(text) - 1:
        text = text[1:-1].strip()
    return text


def unwrap_list(text: str) -> str:
    """Write several letters or numbers in one \\text as a list: \\text{B and D} is B, D."""
    match = re.match(r"^\\text ?\{([^A-Za-z{}]+)\}$", text)
    if match:
        return match[1].strip()
    match = _LIST_IN_TEXT.match(text)
    return re.sub(r"\s*(?:\band\b|\bor\b|&|,)+\s*", ", ", match[1]) if match else text


def join_thousands(text: str) -> str:
    """Join 10,000 to one number where the comma cannot separate items of a list."""
    if "," not in text or any(bracket in text for bracket in ("(", "[", "\\{")):
        return text
    parts = text.split(", ")
    if len(parts) > 1 and not all(map(_THOUSANDS.fullmatch, parts)):
        return text
    parts = [_THOUSANDS.sub(lambda match: match[0].replace(",", ""), part) for part in parts]
    return text if "," in "".join(parts) else ", ".join(parts)  # 1,000, 2,000 are two numbers
