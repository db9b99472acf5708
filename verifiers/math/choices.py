"""Answers to a question with choices: B, (B), Option D, (B) 12, B. Alice."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from verifiers.math.words import doubts

_LABEL = r"(?:(?:the )?(?:correct )?(?:option|choice|answer)(?: is)?:? ?)?"
_ALONE = re.compile(
    rf"^(\\text ?\{{)? ?({_LABEL})(\(? ?)([A-Za-z])(?: ?\))?[.:]? ?\}}?$", re.IGNORECASE
)
_WITH_VALUE = re.compile(
    rf"^ ?{_LABEL}(?:\( ?([A-J]) ?\)[.:]?|([A-J])(?: ?\)[.:]?|[.:](?= )))\s*(.+)$", re.IGNORECASE
)
_OPENING_TEXT = re.compile(r"^(?:\\text ?)?\{([^{}]*)\}(.*)$", re.DOTALL)
_LETTER_IN_TEXT = re.compile(r"^\s*\(?([A-J])\)?[.:]?\s*$")
_OPERATOR = re.compile(r"[*+/^_!'=|]|\\(?:n?eq|[lg]eq|to|approx|cdot|cup|cap)(?![a-z])")
_MORE_CHOICES = re.compile(  # (B) or (C); (A), (B)
    r"^(?:,|;|&|\\text ?\{\s*(?:or|and|,)|or\b|and\b|\\vee|\(?[A-J]\)?(?:$|[ ,.]))"
    r"|\([A-J]\)|\b(?:option|choice)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Choice:
    letter: str
    value: str = ""  # what stands behind the letter
    is_letter: bool = False  # nothing but a letter, which may be a variable


def same_choice(gold: str, answer: str, is_same: Callable[[str, str], bool]) -> bool | None:
    """Compare answers as choices. None if this does not decide it.

    Args:
        is_same: compares the values behind the letters.
    """
    choices = [read_choice(text) for text in (gold, answer)]
    if all(choices):
        left, right = choices
        if left.value and right.value and not is_same(left.value, right.value):
            return False
        letters = left.letter, right.letter
        is_variable = any(
            choice.is_letter and (choice.letter.islower() or choice.letter > "J")
            for choice in choices
        )
        if is_variable or left.is_letter and right.is_letter:
            return letters[0] == letters[1]
        return letters[0].upper() == letters[1].upper()
    for choice, other in ((choices[0], answer), (choices[1], gold)):
        if choice and choice.value:
            return is_same(choice.value, other) or None
    return None


def read_choice(text: str) -> Choice | None:
    alone = _ALONE.match(text)
    if alone:
        return Choice(alone[4], is_letter=not (alone[1] or alone[2] or alone[3]))
    opening = _OPENING_TEXT.match(text)
    if opening:
        letter = _LETTER_IN_TEXT.match(opening[1])
        if letter and opening[2].strip(" .:"):
            if "(" not in opening[1] and opening[2].lstrip().startswith("-"):
                return None  # B - 1
            return _with_value(letter[1], opening[2])
        text = f"{opening[1]} {opening[2]}" if "(" in opening[1] or opening[2] else opening[1]
    match = _WITH_VALUE.match(text)
    return _with_value(match[1] or match[2], match[3]) if match else None


def _with_value(letter: str, value: str) -> Choice | None:
    """Return a choice with its value; None where the value names another choice, or doubts it."""
    value = value.strip(" .:")
    if not value or _OPERATOR.match(value) or letter.islower():
        return None
    if _MORE_CHOICES.search(value) or doubts(value):
        return None
    return Choice(letter, value)
