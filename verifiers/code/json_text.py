"""Reads and writes JSON: integers of any length, and a solution's values as plain data only."""

import contextlib
import json
import math
import sys
from collections.abc import Iterator

_MAXIMUM_DIGITS = 4300  # Python's own limit on integers as text
_MAXIMUM_EMPTY = 10_000  # lists in an array without items


class LongInteger(str):
    """The digits of an integer that is longer than Python converts by default."""


class _NotJson:
    """A value that JSON cannot express."""


NOT_JSON = _NotJson()


def load_trusted_json(text: str | bytes) -> object:
    """Read JSON with integers of any length; very long ones take long.

    Raises:
        ValueError: the text is not JSON, or is nested too deeply.
    """
    try:
        with _digits_unlimited():
            return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def dump_json(value: object) -> str:
    """Write JSON, with integers of any length."""
    with _digits_unlimited():
        return json.dumps(value)


def to_digits(integer: int) -> str:
    with _digits_unlimited():
        return str(integer)


@contextlib.contextmanager
def _digits_unlimited() -> Iterator[None]:
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        yield
    finally:
        sys.set_int_max_str_digits(limit)


def _parse_integer(digits: str) -> int | LongInteger:
    return int(digits) if len(digits) <= _MAXIMUM_DIGITS else LongInteger(digits)


def read_value(text: bytes) -> object:
    """Return the value that values.encode() wrote, as JSON would have kept it.

    Tuples become lists, keys of a dictionary strings, arrays nested lists. A value that JSON cannot
    express (a set, bytes, ...) becomes NOT_JSON, which equals nothing. So does any text that
    encode() would not write.
    """
    try:
        return _plain(json.loads(text, parse_int=_parse_integer))
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, MemoryError):
        return NOT_JSON


def _plain(wire: object) -> object:
    if isinstance(wire, list):
        return [_plain(item) for item in wire]
    if not isinstance(wire, dict):
        return wire
    name, items = wire["type"], wire["items"]
    if name == "tuple":
        return [_plain(item) for item in items]
    if name in ("dict", "Counter", "OrderedDict"):
        return {_make_key(key): _plain(value) for key, value in items}
    if name == "array":
        _, shape, flat = items
        if not _is_shape(shape, len(flat)):
            return NOT_JSON
        return _nest([_plain(item) for item in flat], shape)
    return NOT_JSON


def _is_shape(shape: list[int], count: int) -> bool:
    """Return whether an array of this many items may have this shape.

    An array without items may hold many empty lists: no more than a list of _MAXIMUM_EMPTY.
    """
    if len(shape) > 64 or not all(type(size) is int and size >= 0 for size in shape):
        return False
    lists = 1
    for size in shape[:-1]:
        lists *= size
        if lists > max(count, _MAXIMUM_EMPTY):
            return False
    return math.prod(shape) == count


def _make_key(key: object) -> object:
    if isinstance(key, str):
        return key
    is_plain = key is None or isinstance(key, (bool, int, float))
    return json.dumps(key) if is_plain else NOT_JSON


def _nest(flat: list, shape: list[int]) -> object:
    if len(shape) <= 1:
        return flat if shape else flat[0]
    size = len(flat) // shape[0] if shape[0] else 0
    return [_nest(flat[at * size : (at + 1) * size], shape[1:]) for at in range(shape[0])]
