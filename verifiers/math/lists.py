"""What several answers in a row mean together: a list, a set of tuples, conditions on a number."""

from verifiers.math.kinds import Named, Reals, Scalar, Sequence
from verifiers.math.reals import intersect, point, unite
from verifiers.math.tokens import ParseError

_MAX_SETS = 40  # conditions on one number


def flatten(items: list) -> tuple:
    """Return the items with lists among them taken apart: 1 \\pm 2, 3 holds one."""
    flat = []
    for item in items:
        value = item.value if isinstance(item, Named) else item
        is_list = isinstance(value, Sequence) and value.bracket == ","
        if is_list and isinstance(item, Named):
            flat += [Named(item.name, part) for part in value.items]
        else:
            flat += value.items if is_list else [item]
    return tuple(flat)


def name_tuples(items: list) -> list:
    """Read p = 5, q = 2; p = 7, q = 2 as the tuples (5, 2) and (7, 2)."""
    names = []
    for item in items:
        if not isinstance(item, Sequence) or item.bracket != ",":
            return items
        if not all(isinstance(part, Named) for part in item.items):
            return items
        names.append(sorted(part.name for part in item.items))
    if (
        len(names[0]) < 2
        or len(set(names[0])) < len(names[0])
        or names.count(names[0]) < len(names)
    ):
        return items
    by_name = [sorted(item.items, key=lambda part: part.name.lower()) for item in items]
    return [Sequence("(", tuple(part.value for part in parts)) for parts in by_name]


def points_to_reals(items: list) -> list:
    """Read x = 1 as a set of one point if another item is a condition on a variable."""
    if not any(isinstance(item, Reals) and item.variable for item in items):
        return items
    return [
        Reals((point(item.value.tree),), item.name)
        if isinstance(item, Named) and isinstance(item.value, Scalar)
        else item
        for item in items
    ]


def combine_conditions(items: list[Reals], is_union: bool, is_comma: bool) -> Reals:
    """Combine conditions on one variable.

    Conditions between commas hold together; where no number fulfils all of them, any may hold.
    """
    variable = items[0].variable
    if len(items) > _MAX_SETS:
        raise ParseError("too many conditions")
    if any(item.variable != variable for item in items):
        raise ParseError("conditions on several variables")
    union = Reals(unite(*(item.pieces for item in items)), variable)
    if is_union:
        return union
    pieces = items[0].pieces
    for item in items[1:]:
        pieces = intersect(pieces, item.pieces)
    return Reals(pieces, variable) if pieces or not is_comma else union
