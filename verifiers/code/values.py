"""Writes Python values as JSON and reads them back, so that a solution sends nothing but data.

JSON's own types and lists stand for themselves. Every other value is an object
{"type": ..., "items": ...}. An object of a subclass is sent as its base class, so a forged __eq__
stays behind. Nothing is unpickled, and decoding runs no code of the sender.
"""

import base64
import collections
import datetime
import decimal
import fractions
import pathlib
import sys
from collections.abc import Callable

_SEQUENCES = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": collections.deque,
}
_MAPPINGS = {
    "Counter": collections.Counter,
    "OrderedDict": collections.OrderedDict,
    "dict": dict,
}
_TEXTS = {  # class: to text, from text
    "Decimal": (decimal.Decimal, str, decimal.Decimal),
    "Fraction": (fractions.Fraction, str, fractions.Fraction),
    "datetime": (
        datetime.datetime,
        datetime.datetime.isoformat,
        datetime.datetime.fromisoformat,
    ),
    "date": (datetime.date, datetime.date.isoformat, datetime.date.fromisoformat),
    "path": (pathlib.PurePath, str, pathlib.Path),
    "time": (datetime.time, datetime.time.isoformat, datetime.time.fromisoformat),
}
_SINGLE = {"Ellipsis": ..., "NotImplemented": NotImplemented}
_VIEWS = {"keys": type({}.keys()), "values": type({}.values()), "items": type({}.items())}


def encode(value: object, encode_other: Callable[[object], object]) -> object:
    """Return the value in JSON's types; encode_other gets a value that has no such form."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if issubclass(kind, list):
        return [encode(item, encode_other) for item in list.__iter__(value)]
    if issubclass(kind, (bool, int, float, str)):
        return _encode_scalar_subclass(value)
    numpy = sys.modules.get("numpy")  # a value of numpy's cannot exist before numpy is loaded
    if numpy and issubclass(kind, (numpy.generic, numpy.ndarray)):
        return _encode_numpy(value, encode_other)
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):  # a named one
        return encode_other(value)
    for name, base in _SEQUENCES.items():
        if issubclass(kind, base):
            return _tag(name, [encode(item, encode_other) for item in base.__iter__(value)])
    for name, base in _MAPPINGS.items():
        if issubclass(kind, base):
            pairs = dict.items(value)
            return _tag(
                name, [[encode(key, encode_other), encode(v, encode_other)] for key, v in pairs]
            )
    for name, (base, to_text, _) in _TEXTS.items():
        if issubclass(kind, base):
            return _tag(name, to_text(value))
    return _encode_rest(value, encode_other)


def encode_content(
    value: object, numbers: dict[int, int], encode_other: Callable[[object], object]
) -> object:
    """Return a mutable value in JSON's types; values in it that have a number are that number."""

    def encode_item(item: object) -> object:
        if id(item) in numbers:
            return _tag("known", numbers[id(item)])
        return encode(item, encode_other)

    if isinstance(value, list):
        return [encode_item(item) for item in list.__iter__(value)]
    if isinstance(value, collections.deque):
        return _tag("deque", [encode_item(item) for item in value])
    if isinstance(value, dict):
        pairs = [[encode(key, encode_other), encode_item(v)] for key, v in dict.items(value)]
        return _tag("dict", pairs)
    return encode(value, encode_other)


def _encode_scalar_subclass(value: int | float | str) -> object:
    if isinstance(value, int):
        return int.__add__(value, 0)
    return float.__add__(value, 0.0) if isinstance(value, float) else str.__add__(value, "")


def _encode_numpy(value: object, encode_other: Callable[[object], object]) -> object:
    import numpy

    if value.dtype.kind not in "biufcUS":
        return encode_other(value)
    if isinstance(value, numpy.generic):
        return encode(value.item(), encode_other)
    items = [encode(item, encode_other) for item in value.ravel().tolist()]
    return _tag("array", [value.dtype.str, list(value.shape), items])


def _encode_rest(value: object, encode_other: Callable[[object], object]) -> object:
    kind = type(value)
    if issubclass(kind, complex):
        return _tag("complex", [value.real, value.imag])
    if issubclass(kind, (bytes, bytearray)):
        name = "bytes" if issubclass(kind, bytes) else "bytearray"
        return _tag(name, base64.b64encode(value).decode())
    if kind is range:
        return _tag("range", [value.start, value.stop, value.step])
    for name, single in _SINGLE.items():
        if value is single:
            return _tag("single", name)
    if kind is slice:
        return _tag(
            "slice", [encode(v, encode_other) for v in (value.start, value.stop, value.step)]
        )
    if kind in _VIEWS.values():
        name = next(name for name, view in _VIEWS.items() if view is kind)
        return _tag(f"{name} view", [encode(item, encode_other) for item in value])
    if issubclass(kind, datetime.timedelta):
        return _tag("timedelta", [value.days, value.seconds, value.microseconds])
    return encode_other(value)


def _tag(name: str, items: object) -> dict[str, object]:
    return {"type": name, "items": items}


def decode(wire: object, decode_other: Callable[[dict], object]) -> object:
    """Return the value that encode() was given; decode_other gets what encode_other made.

    Raises:
        ValueError, TypeError, KeyError: the value is not one that encode() writes.
    """
    if isinstance(wire, list):
        return [decode(item, decode_other) for item in wire]
    if not isinstance(wire, dict):
        return wire
    name, items = wire["type"], wire.get("items")
    if name in _SEQUENCES:
        return _SEQUENCES[name](decode(item, decode_other) for item in items)
    if name in _MAPPINGS:
        pairs = [(decode(key, decode_other), decode(v, decode_other)) for key, v in items]
        return _MAPPINGS[name](dict(pairs))
    if name in _TEXTS:
        return _TEXTS[name][2](items)
    if name == "array":
        import numpy

        dtype, shape, flat = items
        return numpy.array(decode(flat, decode_other), dtype=dtype).reshape(shape)
    if name == "complex":
        return complex(*items)
    if name in ("bytes", "bytearray"):
        content = base64.b64decode(items)
        return content if name == "bytes" else bytearray(content)
    if name == "range":
        return range(*items)
    if name == "timedelta":
        return datetime.timedelta(*items)
    if name == "single":
        return _SINGLE[items]
    if name == "slice":
        return slice(*[decode(item, decode_other) for item in items])
    if name.endswith(" view"):
        return _decode_view(name, [decode(item, decode_other) for item in items])
    return decode_other(wire)


def _decode_view(name: str, items: list) -> object:
    if name == "keys view":
        return dict.fromkeys(items).keys()
    return dict(enumerate(items)).values() if name == "values view" else dict(items).items()
