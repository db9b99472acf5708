"""Compares what a program printed, or a function returned, with what was expected."""

import math
import re
from decimal import Decimal, InvalidOperation

from verifiers.code.json_text import NOT_JSON, LongInteger, to_digits

RELATIVE_TOLERANCE = 1e-5  # of floats, as in contest checkers
ZERO_TOLERANCE = 1e-9  # absolute, where 0.0 is expected
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*)")  # 0101 is text, most likely bits
_FLOAT = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][+-]?[0-9]+)?")
_SPARE_BYTES = 2**16  # an output may be this much longer than expected, apart from digits
_LONGEST_NUMBER = 400  # characters of a float


def is_same_output(printed: bytes, expected: str) -> bool:
    """Compare line by line; white space at the end of a line and empty last lines do not count.

    Where a line differs, its white space must still be the same, and each token must be the same
    text or the same number: exactly if an integer is expected, within 1e-5 relative if a float is.
    """
    expected_lines = _split_lines(expected)
    stripped = printed.rstrip()
    if len(stripped) > _SPARE_BYTES + 4 * len(expected.encode("utf-8", "surrogatepass")):
        return False  # too long to be right: do not spend time on it
    if stripped.count(b"\n") + 1 != max(1, len(expected_lines)):
        return False
    lines = _split_lines(stripped.decode("utf-8", errors="replace"))
    return len(lines) == len(expected_lines) and all(
        line == wanted or _is_same_line(line, wanted) for line, wanted in zip(lines, expected_lines)
    )


def _split_lines(text: str) -> list[str]:
    text = text.rstrip()
    return [line.rstrip() for line in text.split("\n")] if text else []


def _is_same_line(line: str, expected: str) -> bool:
    parts, expected_parts = re.split(r"(\s+)", line), re.split(r"(\s+)", expected)
    return len(parts) == len(expected_parts) and all(
        part == wanted or _is_same_number(part, wanted)
        for part, wanted in zip(parts, expected_parts)
    )


def _is_same_number(token: str, expected: str) -> bool:
    is_integer = bool(_INTEGER.fullmatch(token))
    if _INTEGER.fullmatch(expected) and is_integer:
        return _normalize_integer(token) == _normalize_integer(expected)
    is_number = is_integer or bool(_FLOAT.fullmatch(token))
    if not is_number or len(token) > _LONGEST_NUMBER:
        return False
    try:
        return _is_same_float(token, expected)
    except InvalidOperation:  # an exponent out of all bounds
        return False


def _is_same_float(token: str, expected: str) -> bool:
    if _INTEGER.fullmatch(expected):
        return Decimal(token) == Decimal(expected)
    if not _FLOAT.fullmatch(expected):
        return False
    if math.isinf(float(token)) or math.isinf(float(expected)):  # 1e400 is not 2e400
        return Decimal(token) == Decimal(expected)
    return _is_close(float(token), float(expected))


def _normalize_integer(token: str) -> str:
    digits = token.lstrip("+-")
    return digits if token[0] != "-" or digits == "0" else "-" + digits


def _is_close(value: float, expected: float) -> bool:
    if math.isnan(expected):
        return math.isnan(value)
    if expected == 0 or math.isinf(expected):
        return value == expected or abs(value - expected) <= ZERO_TOLERANCE
    return abs(value - expected) <= RELATIVE_TOLERANCE * abs(expected)


def is_same_value(value: object, expected: object) -> bool:
    """Compare two values made of JSON's types, as returned and as expected.

    True is not 1. 2 and 2.0 are equal. Where a float is expected, 1e-5 relative is allowed.
    """
    try:
        return _is_same(value, expected)
    except RecursionError:
        return False


def _is_same(value: object, expected: object) -> bool:
    if value is NOT_JSON or expected is NOT_JSON:
        return False
    if isinstance(expected, list):
        same_length = isinstance(value, list) and len(value) == len(expected)
        return same_length and all(_is_same(v, e) for v, e in zip(value, expected))
    if isinstance(expected, dict):
        same_keys = isinstance(value, dict) and value.keys() == expected.keys()
        return same_keys and all(_is_same(value[key], expected[key]) for key in expected)
    if _is_number(value) and _is_number(expected):
        return _is_same_plain_number(value, expected)
    if type(value) is LongInteger:
        return type(expected) is int and value == to_digits(expected)
    return type(value) is type(expected) and value == expected


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_same_plain_number(value: int | float, expected: int | float) -> bool:
    if isinstance(expected, int):
        return value == expected
    try:
        return _is_close(float(value), expected)
    except OverflowError:  # an integer larger than any float
        return False
