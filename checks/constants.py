"""Reads a script's constants, overrides them from the command line, checks types and ranges."""

import ast
import difflib
from collections.abc import Sequence
from pathlib import Path

from checks.errors import UserError

_BASE = "BASE"  # in a recipe, the recipe that it builds on; no constant of a script


class Constants(dict):
    """A script's constants by name. A missing one was renamed or deleted: UserError."""

    def __missing__(self, name: str) -> object:
        raise UserError(f"{name} is missing among the constants at the top of the script: add it.")


def read_constants(names: dict, overrides: Sequence[str] = ()) -> Constants:
    """Return the UPPER_CASE constants among a script's global names.

    Args:
        names: the script's globals(). An override changes the value in it too.
        overrides: arguments of the command line. Each is NAME=value, such as "BETA=0.1" or
            "MODEL=models/mine" (a Python literal, or else text), or names a file of such lines,
            "recipes/mine.py". A file may build on another one: BASE = "other.py".

    Raises:
        UserError: an argument is neither of these, or sets no constant of the script.
    """
    own = [name for name in names if name.isupper() and not name.startswith("_")]
    for override in _put_bases_first(overrides):
        name, equals, text = override.partition("=")
        is_recipe = _is_recipe(override)
        values = _read_recipe(name) if is_recipe else {name: _read_value(text)}
        if is_recipe:
            values.pop(_BASE, None)
        for name, value in values.items():
            if name not in own or not (equals or is_recipe):
                close = difflib.get_close_matches(name, own, n=1)
                advice = f" Did you mean {close[0]}?" if close else ""
                what = f"{override}: {name}" if is_recipe else override
                raise UserError(
                    f"{what!r} sets no constant of this script: write NAME=value, with a NAME from "
                    f"the top of the script.{advice}"
                )
            names[name] = value
    return Constants({name: names[name] for name in own})


def follow_precision(constants: Constants) -> Constants:
    """Return constants in which ROLLOUT_DTYPE, if None, is the type that training computes in.

    A float32 model that generates under bfloat16 autocast would cast all weights at every token.
    """
    computes_in = {"no": "float32", "bf16": "bfloat16"}
    dtype = constants["ROLLOUT_DTYPE"] or computes_in.get(constants["MIXED_PRECISION"], "float32")
    return Constants({**constants, "ROLLOUT_DTYPE": dtype})


def list_roles(constants: dict) -> list[str]:
    """Return the models that a run of train_prime.py trains: "policy", "prm", "value"."""
    c = constants
    needs_prm = c["PROCESS_COEF"] or c["VALUE"] == "prm"
    return ["policy", *["prm"] * bool(needs_prm), *["value"] * (c["VALUE"] == "head")]


def _is_recipe(argument: str) -> bool:
    return "=" not in argument and argument.endswith(".py")


def _put_bases_first(arguments: Sequence[str], above: tuple[str, ...] = ()) -> list[str]:
    """Return the arguments, each recipe after the one that its BASE names, in the same folder.

    Args:
        above: the recipes that build on the first argument.
    """
    ordered = []
    for argument in arguments:
        if _is_recipe(argument):
            base = _read_recipe(argument).get(_BASE)
            if argument in above:
                raise UserError(f"{argument}: it builds on itself: {_BASE} = {base!r}.")
            if base is not None:
                if not isinstance(base, str) or not base or Path(base).name != base:
                    raise UserError(
                        f"{argument}: {_BASE} = {base!r} must name a recipe in the same folder, "
                        "such as 'mine.py'."
                    )
                below = str(Path(argument).with_name(base))
                ordered += _put_bases_first([below], (*above, argument))
        ordered.append(argument)
    return ordered


def _read_recipe(path: str) -> dict[str, object]:
    """Return the constants that a recipe sets: a file of lines NAME = value."""
    try:
        lines = ast.parse(Path(path).read_text()).body
    except (OSError, SyntaxError) as error:
        raise UserError(f"{path}: cannot be read as lines NAME = value: {error}") from error
    values = {}
    for line in lines:
        if isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant):
            continue  # a docstring
        try:
            values[line.targets[0].id] = ast.literal_eval(line.value)
        except (AttributeError, ValueError) as error:
            raise UserError(
                f"{path}, line {line.lineno}: write NAME = value, a literal such as 0.1 or 'a'."
            ) from error
    return values


def _read_value(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def check_choices(constants: dict, choices: dict[str, tuple]) -> None:
    """Raise UserError for the first constant whose value is not among its choices."""
    for name, allowed in choices.items():
        if constants[name] not in allowed:
            options = ", ".join(map(repr, allowed))
            raise UserError(f"{name} = {constants[name]!r} is unknown: choose one of {options}.")


def check_ranges(constants: dict, ranges: dict[str, tuple[float, float]]) -> None:
    """Raise UserError for the first constant that is not a number within its (lowest, highest)."""
    for name, (lowest, highest) in ranges.items():
        value = constants[name]
        wants_integer = isinstance(lowest, int)
        if isinstance(value, bool) or not isinstance(value, int if wants_integer else (int, float)):
            kind = "a whole number" if wants_integer else "a number"
            raise UserError(f"{name} = {value!r} must be {kind}.")
        if not lowest <= value <= highest:
            raise UserError(f"{name} = {value!r} must lie between {lowest} and {highest}.")


def check_texts(constants: dict, required: list[str], optional: list[str]) -> None:
    """Raise UserError for the first constant that is not text; an optional one may be None."""
    for name in [*required, *optional]:
        value = constants[name]
        if value is None and name in optional:
            continue
        if not isinstance(value, str) or not value:
            raise UserError(f"{name} = {value!r} must be text in quotes.")
        if value.startswith("~"):
            raise UserError(f"{name} = {value!r}: write the folder of ~ in full, such as /home/me.")


def check_divides(constants: dict, whole: str, part: str) -> None:
    """Raise UserError unless the constant named part divides the constant named whole."""
    if constants[whole] % constants[part]:
        raise UserError(
            f"{part} = {constants[part]} does not divide {whole} = {constants[whole]}: "
            f"make {whole} a multiple of {part}."
        )
