"""Reward functions of the user's own (VERIFIERS): checked, loaded, called.

A function is plain Python, f(response, ground_truth) or f(response, ground_truth, row). It runs in
the pool's workers, under the limits of the built-in verifiers but not in a sandbox: what it may do
is for its author to say.
"""

import importlib
import importlib.util
import inspect
import math
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from checks.errors import UserError
from verifiers import ABILITIES, STATUSES, collect_judges, name_rewards

_FRAMES, _CHARACTERS = 8, 4000  # of a traceback that is shown, at most
_EXAMPLE = 'write {"mine": "my_rewards.py:mine"}, or pairs of a function and its weight'


def check_verifiers(verifiers: object, templates: object) -> None:
    """Raise UserError if VERIFIERS or TEMPLATES has another form than docs/rewards.md shows."""
    for constant, value in (("VERIFIERS", verifiers), ("TEMPLATES", templates)):
        if not isinstance(value, dict) or not all(isinstance(k, str) and k for k in value):
            raise UserError(f"{constant} = {value!r} must map abilities: {_EXAMPLE}.")
    for ability, judges in verifiers.items():
        pairs = judges if isinstance(judges, (tuple, list)) else [(judges, 1.0)]
        if not pairs or not all(isinstance(p, (tuple, list)) and len(p) == 2 for p in pairs):
            raise UserError(f"VERIFIERS[{ability!r}] = {judges!r}: {_EXAMPLE}.")
        for judge, weight in pairs:
            _check_judge(ability, judge, weight)
    judges = collect_judges(verifiers, verifiers)
    for name in name_rewards(verifiers):
        if len(same := sorted(j for j in judges if j.rpartition(":")[2] == name)) > 1:
            raise UserError(f"VERIFIERS: {' and '.join(same)} have the same name: rename one.")
    for ability, template in templates.items():
        if ability not in (*ABILITIES, *verifiers):
            raise UserError(f"TEMPLATES[{ability!r}]: name its function in VERIFIERS too.")
        if not isinstance(template, str) or "{question}" not in template:
            raise UserError(f"TEMPLATES[{ability!r}] = {template!r} must hold {{question}}.")


def _check_judge(ability: str, judge: object, weight: object) -> None:
    source, _, function = str(judge).rpartition(":")
    if judge not in ABILITIES and not (source and function.isidentifier()):
        raise UserError(
            f"VERIFIERS[{ability!r}] names {judge!r}: write file.py:function, module:function, or "
            f"one of {', '.join(map(repr, ABILITIES))}."
        )
    is_number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
    if not is_number or not math.isfinite(weight):
        raise UserError(f"VERIFIERS[{ability!r}]: the weight {weight!r} of {judge} is no number.")


def load_functions(names: Sequence[str]) -> dict[str, Callable]:
    """Import functions by name, "file.py:function" or "module:function".

    A file is found from the current directory. It may import its neighbours.

    Raises:
        UserError: there is no such file, module or function, it cannot be imported, or it takes
            another number of parameters.
    """
    modules: dict[str, ModuleType] = {}
    functions = {}
    for name in names:
        source, _, own = name.rpartition(":")
        if source not in modules:
            modules[source] = _import(source)
        function = getattr(modules[source], own, None)
        if not callable(function):
            raise UserError(f"VERIFIERS: {source} has no function {own!r}.")
        takes_row(function, name)
        functions[name] = function
    return functions


def _import(source: str) -> ModuleType:
    path = Path(source)
    if path.suffix == ".py" and not path.is_file():
        raise UserError(f"VERIFIERS: there is no file {source!r} in {os.getcwd()}.")
    # Last, so that no file of the user's hides a module of a library or of the project.
    sys.path.append(str(path.resolve().parent) if path.suffix == ".py" else os.getcwd())
    try:
        if path.suffix != ".py":
            return importlib.import_module(source)
        spec = importlib.util.spec_from_file_location(re.sub(r"\W", "_", source), source)
        sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    except BaseException as error:  # SystemExit too: it must not end the pool without a word
        raise UserError(f"VERIFIERS: {source} cannot be imported.\n{_describe(error)}") from error


def takes_row(function: Callable, name: str = "") -> bool:
    """Return whether a function takes the row as its third argument.

    Raises:
        UserError: it takes neither two nor three arguments.
    """
    for count in (2, 3):
        with suppress(TypeError, ValueError):  # ValueError: a built-in that does not say
            inspect.signature(function).bind(*[""] * count)
            return count == 3
    raise UserError(f"VERIFIERS: {name} must take (response, ground_truth), and row if it likes.")


def call(function: Callable, response: str, truth: str, row: dict) -> tuple[float, str, str]:
    """Return the reward and the status that a function gives, and what it did wrong, if anything.

    Whatever is no reward is 0 with the status "error".
    """
    process = os.getpid()
    try:
        arguments = (response, truth, row) if takes_row(function) else (response, truth)
        verdict = (*_read(function(*arguments)), "")
    except BaseException as error:  # SystemExit too: the worker goes on
        traceback.clear_frames(error.__traceback__)  # what filled the memory is freed
        verdict = (0.0, "error", _describe(error))
    if os.getpid() != process:  # a process that the function has forked comes back as well
        os._exit(0)
    return verdict


def _read(value: object) -> tuple[float, str]:
    """Return the reward and status in what a function returned; raise ValueError without one."""
    reward, status = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
    number = float(reward) if hasattr(reward, "__float__") else math.nan  # numpy and torch too
    is_failure = status in ("timeout", "error")
    if not 0.0 <= number <= 1.0 or status not in (None, *STATUSES) or (is_failure and number):
        raise ValueError(
            f"it returned {value!r:.200}. It must return a reward from 0 to 1, or (reward, status) "
            f"with a status among {', '.join(STATUSES)} (0 with timeout and error)."
        )
    return number, status or ("correct" if number == 1 else "partial" if number else "wrong")


def _describe(error: BaseException) -> str:
    """Return an exception with those frames alone that are the user's, safe for a terminal."""
    own = traceback.extract_tb(error.__traceback__)
    own = [f for f in own if f.filename != __file__ and "importlib" not in f.filename]
    lines = [*traceback.format_list(own[-_FRAMES:]), *traceback.format_exception_only(error)]
    text = "".join(lines).rstrip()[-_CHARACTERS:]  # it may quote what a model wrote
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def list_children() -> set[int]:
    """Return the processes that this one has started or adopted."""
    found: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # the thread has ended
            found |= set(map(int, path.read_text().split()))
    return found


def end_strays(known: Collection[int] = ()) -> int:
    """Kill the children of this process but for known ones; return how many were running.

    Where this process adopts orphans (sandbox.kernel), it kills their descendants too.
    """
    count = 0
    while strays := list_children() - set(known):
        for process in strays:
            with suppress(ChildProcessError, ProcessLookupError):
                if os.waitpid(process, os.WNOHANG) == (0, 0):
                    os.kill(process, signal.SIGKILL)
                    os.waitpid(process, 0)
                    count += 1
    return count
