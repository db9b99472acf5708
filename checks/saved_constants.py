"""Writes, reads and compares constants.json: the constants that a folder's work was done with."""

import json
import platform
from importlib.metadata import version
from pathlib import Path

from checks.errors import UserError
from checks.files import replace_file
from checks.model_files import MOVED

_LIBRARIES = ("torch", "transformers", "accelerate", "datasets", "sympy", "math-verify")


def write_constants(path: Path, constants: dict, **others: object) -> None:
    """Write a script's constants, the versions of the libraries, and any others as JSON."""
    versions = {name: version(name) for name in _LIBRARIES}
    versions["python"] = platform.python_version()
    snapshot = {"constants": constants, "versions": versions, **others}
    replace_file(path, json.dumps(snapshot, indent=2) + "\n")


def read_saved_constants(folder: Path) -> dict | None:
    """Return the constants that the run in a folder was started with; None if there is no run."""
    path = folder / "constants.json"
    return json.loads(path.read_text())["constants"] if path.exists() else None


def check_same_constants(
    new_constants: dict, old_constants: dict, folder: Path, free_to_change: list[str]
) -> None:
    """Raise UserError if the work in a folder was done with other constants, and list them.

    A folder of the project that has moved counts as unchanged.
    """
    new = json.loads(json.dumps(new_constants))  # tuples come back from a file as lists
    old = {k: MOVED.get(v, v) if isinstance(v, str) else v for k, v in old_constants.items()}
    changes = [
        f"  {name}: was {old.get(name)!r}, is {new.get(name)!r}"
        for name in sorted(old.keys() | new.keys())
        if name not in free_to_change and old.get(name) != new.get(name)
    ]
    if changes:
        raise UserError(
            f"{folder} holds work done with other constants:\n"
            + "\n".join(changes)
            + "\nSet them back to continue this work, or name another folder, or delete this one."
        )
