"""One fault of the table: a line of the project, what stands there instead, who should notice."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A change of one line that some test must notice."""

    group: str  # "wiring", or the room or root module that the file is in
    path: str  # of the file, from the root of the project
    tests: tuple[str, ...]  # files or file::test, from the root of the project
    what: str  # is wrong then, in words
    old: str  # text that the file holds exactly once
    new: str  # text in its place
    expected: str = ""  # why no test can notice; "" if one must

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


def faults(
    path: str, tests: str | Sequence[str], *rows: tuple[str, ...], group: str = ""
) -> list[Fault]:
    """Return the faults of a file.

    Args:
        tests: files or file::test from tests/, the quickest first; a text has blanks between them.
        rows: each (what is wrong, old text, new text), or with a fourth: why none can notice.
        group: of the table; "": the first part of the path.
    """
    names = tests.split() if isinstance(tests, str) else tests
    selected = tuple(f"tests/{name}" for name in names)
    return [Fault(group or path.split("/")[0], path, selected, *row) for row in rows]
