"""Sets of real numbers as unions of intervals: union, intersection, difference, equality."""

from dataclasses import replace

import mpmath

from verifiers.math import expression
from verifiers.math import expression_equality as equality
from verifiers.math.expression import TooHard, Tree, number
from verifiers.math.kinds import Answer, Piece, Reals, Scalar, Sequence
from verifiers.math.tokens import ParseError

Pieces = tuple[Piece, ...]

_DIGITS = 60  # of the bounds when they are ordered

INFINITY: Tree = ("infinity",)
MINUS_INFINITY: Tree = ("mul", number(-1), INFINITY)
ALL_REALS: Pieces = (Piece(MINUS_INFINITY, INFINITY, False, False),)


def as_reals(answer: Answer) -> Reals:
    """Read a pair in brackets as an interval, and a set of numbers as points.

    Raises:
        ParseError: the answer is not a set of real numbers.
    """
    if isinstance(answer, Reals):
        return answer
    if isinstance(answer, Sequence) and all(isinstance(item, Scalar) for item in answer.items):
        trees = [item.tree for item in answer.items]
        if answer.bracket in "([" and len(trees) == 2:
            closed = answer.bracket == "["
            return Reals((Piece(trees[0], trees[1], closed, closed),))
        if answer.bracket == "{":
            return Reals(tuple(point(tree) for tree in trees))
    if isinstance(answer, Sequence) and answer.bracket == ",":  # intervals between commas
        return Reals(unite(*(as_reals(item).pieces for item in answer.items)))
    raise ParseError("not a set of real numbers")


def point(tree: Tree) -> Piece:
    return Piece(tree, tree, True, True)


def unite(*sets: Pieces) -> Pieces:
    """Sort intervals and join those that touch; leave them as they are if a bound has a symbol."""
    pieces = [piece for one in sets for piece in one]
    try:
        ordered = sorted(pieces, key=lambda piece: (_value(piece.low), not piece.low_closed))
    except (ParseError, TooHard):
        return tuple(pieces)
    merged: list[Piece] = []
    for piece in ordered:
        last = merged[-1] if merged else None
        if last and _touches(last, piece):
            merged[-1] = _join(last, piece)
        else:
            merged.append(piece)
    return tuple(merged)


def intersect(left: Pieces, right: Pieces) -> Pieces:
    """Return the intersection of two sets."""
    common = [_intersect_pieces(a, b) for a in left for b in right]
    return unite(tuple(piece for piece in common if piece is not None))


def subtract(left: Pieces, right: Pieces) -> Pieces:
    """Return the left set without the right one."""
    for piece in right:
        below = Piece(MINUS_INFINITY, piece.low, False, not piece.low_closed)
        above = Piece(piece.high, INFINITY, not piece.high_closed, False)
        sides = [side for side in (below, above) if _value(side.low) != _value(side.high)]
        left = intersect(left, tuple(sides))
    return left


def same_reals(gold: Reals, answer: Reals) -> bool:
    """Return whether two sets are equal; if both name a variable, it must be the same."""
    if gold.variable and answer.variable and gold.variable != answer.variable:
        return False
    return equality.match_items(unite(gold.pieces), unite(answer.pieces), _same_piece)


def _same_piece(a: Piece, b: Piece) -> bool:
    if (a.low_closed, a.high_closed) != (b.low_closed, b.high_closed):
        return False
    return equality.equal(a.low, b.low) and equality.equal(a.high, b.high)


def _value(tree: Tree) -> mpmath.mpf:
    if expression.symbols(tree) - {"e", "\\pi"}:
        raise ParseError("a symbolic bound")
    with mpmath.workdps(_DIGITS):
        value = expression.evaluate(tree, {})
        if mpmath.im(value):
            raise ParseError("a complex bound")
        return mpmath.re(value)


def _touches(left: Piece, right: Piece) -> bool:
    if equality.equal(left.high, right.low):
        return left.high_closed or right.low_closed
    return _value(left.high) > _value(right.low)


def _join(left: Piece, right: Piece) -> Piece:
    if equality.equal(left.high, right.high):
        return replace(left, high_closed=left.high_closed or right.high_closed)
    if _value(right.high) > _value(left.high):
        return replace(left, high=right.high, high_closed=right.high_closed)
    return left


def _intersect_pieces(a: Piece, b: Piece) -> Piece | None:
    low = max(a, b, key=lambda piece: (_value(piece.low), not piece.low_closed))
    high = min(a, b, key=lambda piece: (_value(piece.high), piece.high_closed))
    if _value(low.low) > _value(high.high):
        return None
    if _value(low.low) == _value(high.high) and not (low.low_closed and high.high_closed):
        return None
    return Piece(low.low, high.high, low.low_closed, high.high_closed)
