"""The kinds of answer that a box can hold; their leaves are expression trees (expression.py)."""

from dataclasses import dataclass

from verifiers.math.expression import Tree


@dataclass(frozen=True)
class Scalar:
    tree: Tree
    bare: Tree | None = None  # the number before a per cent or degree sign, if it has one
    unit: str = ""


@dataclass(frozen=True)
class Words:
    """An answer in words: Evelyn, even."""

    text: str


@dataclass(frozen=True)
class Based:
    """A number written to a base: 2516_8."""

    digits: str
    base: int


@dataclass(frozen=True)
class Sequence:
    bracket: str  # "(" "[" ordered; "{" a set; "," a bare list; ":" a ratio
    items: tuple


@dataclass(frozen=True)
class Matrix:
    rows: tuple[tuple, ...]


@dataclass(frozen=True)
class Piece:
    """An interval."""

    low: Tree
    high: Tree
    low_closed: bool
    high_closed: bool


@dataclass(frozen=True)
class Reals:
    """A union of intervals."""

    pieces: tuple[Piece, ...]
    variable: str = ""


@dataclass(frozen=True)
class Named:
    """An equation with nothing but a name on its left: x = 5, f(x) = 2x."""

    name: str
    value: "Answer"


@dataclass(frozen=True)
class Relation:
    """An equation or inequality, as the difference left - right compared with 0."""

    operator: str  # "=" "<" "\\leq" "\\neq"
    difference: Tree


Answer = Scalar | Words | Based | Sequence | Matrix | Reals | Named | Relation
