"""Objects of classes that belong to a row, such as ListNode and TreeNode, as data.

Both sides have the class, from the row or from the solution. An object crosses as the name of its
class and its attributes, so the tests read its attributes and call its methods without the
solution. The objects of a message form a graph: each has a number, and they refer to each other
by it. A call sends the graph of its arguments and brings it back as the call has left it.
"""

from collections.abc import Callable

_MOST = 1_000_000  # objects in a message


class NodeTable:
    """The objects of one call, by number."""

    def __init__(self, classes: dict[str, type]) -> None:
        self.classes = classes
        self.objects: list[object] = []
        self.numbers: dict[int, int] = {}  # id() of an object: its number

    def is_node(self, value: object) -> bool:
        kind = type(value)
        return bool(self.classes) and self.classes.get(kind.__name__) is kind

    def add(self, value: object) -> int:
        if id(value) not in self.numbers:
            self.numbers[id(value)] = len(self.objects)
            self.objects.append(value)
        return self.numbers[id(value)]

    def pack(self, encode: Callable[[object], object]) -> list[list]:
        """Return [name of the class, attributes] of each object, and of those they refer to."""
        packed: list[list] = []
        while len(packed) < len(self.objects):
            value = self.objects[len(packed)]
            state = {name: encode(item) for name, item in _read_state(value).items()}
            packed.append([type(value).__name__, state])
            if len(packed) > _MOST:
                raise ValueError("too many objects")
        return packed

    def unpack(self, packed: list[list], decode: Callable[[object], object]) -> None:
        """Make the objects that are new, then give all of them their attributes."""
        for name, _ in packed[len(self.objects) :]:
            kind = self.classes[name]
            self.add(object.__new__(kind))
        for value, (name, state) in zip(self.objects, packed, strict=True):
            kind = type(value)
            if kind is not self.classes[name]:
                raise TypeError("an object changed its class")
            slots = _find_slots(kind)
            for attribute, wire in state.items():
                if attribute.startswith("__") or (
                    hasattr(kind, attribute) and attribute not in slots
                ):
                    if not _is_default(kind, attribute):
                        raise TypeError(f"{attribute} belongs to the class")
                object.__setattr__(value, attribute, decode(wire))
            for attribute in set(_read_state(value)) - set(state):
                object.__delattr__(value, attribute)


def _find_slots(kind: type) -> set[str]:
    slots: set[str] = set()
    for base in kind.__mro__:
        own = base.__dict__.get("__slots__", ())
        slots |= {own} if isinstance(own, str) else set(own)
    return slots


def _is_default(kind: type, attribute: str) -> bool:
    """Return whether a class holds a plain value for an attribute, as a dataclass does."""
    value = getattr(kind, attribute)
    return not attribute.startswith("__") and isinstance(
        value, (int, float, str, tuple, type(None))
    )


def _read_state(value: object) -> dict[str, object]:
    state = dict(getattr(value, "__dict__", {}))
    missing = object()
    for name in _find_slots(type(value)):
        item = getattr(value, name, missing) if not name.startswith("__") else missing
        if item is not missing:
            state[name] = item
    return state
