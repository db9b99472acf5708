"""In-place changes to arguments: which lists and dictionaries a call has changed, and how.

A list or dictionary is copied to the other process and changed there. Both sides number the
mutable values in the arguments in the same order, so a change is sent as a number and the new
content, in which mutable values that were there before are named by their numbers.
"""

import collections
from collections.abc import Callable

from verifiers.code import values

_MUTABLE = (list, dict, set, bytearray, collections.deque)
_FLAT = {int, float, bool, str, type(None)}  # types of values that hold no mutable value
_MOST = 100_000  # mutable values in the arguments of a call; more are sent as copies only


def is_mutable(value: object) -> bool:
    return isinstance(value, _MUTABLE) or type(value).__name__ == "ndarray"


def list_mutable(arguments: list) -> list[object]:
    """Return the mutable values in arguments, in the order in which both sides number them."""
    found, todo = [], list(reversed(arguments))
    while todo and len(found) < _MOST:
        value = todo.pop()
        if is_mutable(value):
            found.append(value)
        items = _list_items(value)
        if not _FLAT.issuperset(map(type, items)):
            todo.extend(item for item in reversed(items) if _is_deep(item))
    return found


def _list_items(value: object) -> list[object]:
    for base in (list, tuple, collections.deque):
        if isinstance(value, base):
            return list(base.__iter__(value))
    return list(dict.values(value)) if isinstance(value, dict) else []


def _is_deep(value: object) -> bool:
    return isinstance(value, (tuple, *_MUTABLE)) or type(value).__name__ == "ndarray"


def describe(found: list[object], encode_other: Callable[[object], object]) -> list[object]:
    """Return each mutable value's content; a value in it that is found too is its number."""
    numbers = {id(value): number for number, value in enumerate(found)}
    return [values.encode_content(value, numbers, encode_other) for value in found]


def overwrite(original: object, changed: object) -> None:
    """Replace the content of a mutable value of Python's own types by that of another."""
    if isinstance(original, (list, bytearray)):
        original[:] = changed
    elif isinstance(original, (dict, set)):
        original.clear()
        original.update(changed)
    elif isinstance(original, collections.deque):
        original.clear()
        original.extend(changed)
    elif type(original).__name__ == "ndarray" and original.shape == changed.shape:
        original[...] = changed
