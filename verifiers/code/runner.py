"""Runs a solution in its confined process, as an interpreter would run it.

The names that contest solutions take for granted exist, and the modules they import are loaded
before the process is forked. Nothing else trusts this code: a solution can change all of it in
its own process, which holds nothing but the program and the input of one test.
"""

import atexit
import builtins
import contextlib
import gc
import io
import os
import signal
import sys
import threading
import types
from collections.abc import Callable

from verifiers.code import json_text, values

INPUT, RESULT = 3, 4  # descriptors: the arguments, the value returned
FORBIDDEN = 126  # exit status of a program that ends because the sandbox refused something
_STAR_IMPORTS = """
from string import *
from re import *
from datetime import *
from collections import *
from heapq import *
from bisect import *
from copy import *
from math import *
from random import *
from statistics import *
from itertools import *
from functools import *
from io import *
from sys import *
from json import *
from typing import *
import array, bisect, calendar, cmath, collections, copy, datetime, decimal, fractions, functools
import heapq, io, itertools, json, math, operator, os, queue, random, re, statistics, string, sys
import threading, time, typing
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
"""  # not the names of module operator: tests often ask solutions to define them


def _make_prelude() -> dict[str, object]:
    names: dict[str, object] = {}
    exec(_STAR_IMPORTS, names)
    for name in dir(builtins):  # math.pow and re.compile must not hide the built-in functions
        names.pop(name, None)
    for name in ("stdin", "stdout", "stderr", "path", "argv", "modules", "meta_path"):
        names.pop(name, None)  # from sys: set anew for each run, or names that solutions use
    return {name: value for name, value in names.items() if not name.startswith("__")}


PRELUDE = _make_prelude()
_WANT_COLLECTION = {"__del__", "finalize"}  # names of things that act when they are collected
_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_real_open = open
_modules: dict[str, types.ModuleType] = {}  # by name, from prepare()


def compile_first(candidates: list[str]) -> types.CodeType | None:
    """Return the first text that is Python, compiled; None if there is none."""
    for text in candidates:
        try:
            return compile(text, "solution.py", "exec", optimize=0, dont_inherit=True)
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
            continue
    return None


def run_program(code: types.CodeType) -> int:
    """Run a program that reads stdin and writes stdout; return its exit status."""
    module = _take_module("__main__")
    try:
        exec(code, module.__dict__)
        status = 0
    except SystemExit as exit_request:
        status = _exit_status(exit_request.code)
    except PermissionError:
        status = FORBIDDEN
    except BaseException:
        status = 1
    return _end_like_an_interpreter(module, _find_names(code), status)


def _exit_status(code: object) -> int:
    if code is None:
        return 0
    return code & 0xFF if isinstance(code, int) else 1


def _find_names(code: types.CodeType) -> set[str]:
    """Return all names that a program may have set in its module."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return {*code.co_names}.union(*map(_find_names, inner))


def _end_like_an_interpreter(module: types.ModuleType, names: set[str], status: int) -> int:
    """Wait for threads, call the atexit functions, write the buffers."""
    threading._shutdown()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        status = status or 120
    for name in names:  # this closes the files that they hold
        module.__dict__.pop(name, None)
    if names & _WANT_COLLECTION:  # a collection costs as much as a fork
        gc.collect()
    try:
        sys.__stdout__.flush()  # sys.stdout may be an object of the solution that no longer exists
    except (OSError, ValueError):
        status = status or 120
    return status


def run_function(code: types.CodeType, name: str) -> int:
    """Call a function of the solution with the arguments in INPUT and write its value to RESULT.

    The body of the module runs first, not as __main__. Returns the exit status.
    """
    with open(INPUT, "rb", closefd=False) as file:
        arguments = json_text.load_trusted_json(file.read())
    try:
        function = find_function(run_module(code), name)
        result = function(*arguments)
    except PermissionError:
        return FORBIDDEN
    text = json_text.dump_json(values.encode(result, _refuse))
    with open(RESULT, "w", encoding="ascii", closefd=False) as file:
        file.write(text)
    return 0


def _refuse(value: object) -> object:
    if isinstance(value, tuple):  # a named one
        return values.encode(tuple(tuple.__iter__(value)), _refuse)
    raise TypeError(f"a {type(value).__name__} is not a plain value")


def run_module(code: types.CodeType) -> types.ModuleType:
    module = _take_module("solution")
    exec(code, module.__dict__)
    return module


def run_module_after(
    prelude: list[str], code: types.CodeType
) -> tuple[types.ModuleType, dict[str, object]]:
    """Run a module after the statements that its tests come with.

    Returns:
        The module, and the names that it had before.
    """
    module = _take_module("solution")
    for statement in prelude:
        with contextlib.suppress(Exception):  # the solution has to do without it
            exec(compile(statement, "prelude", "exec", dont_inherit=True), module.__dict__)
    before = dict(module.__dict__)
    exec(code, module.__dict__)
    return module, before


def find_function(module: types.ModuleType, name: str) -> Callable:
    """Return the method of this name in class Solution, or else the function of the module."""
    solution = module.__dict__.get("Solution")
    if solution is not None and hasattr(solution, name):
        return getattr(solution(), name)
    function = module.__dict__.get(name)
    if function is None or function is PRELUDE.get(name):
        raise NameError(f"the solution does not define {name}")
    return function


def prepare(with_numpy: bool) -> None:
    """Make the modules and standard streams that the processes of tests will use.

    This happens once, before those processes are forked: what a process makes itself, or even
    looks at, costs it a copy of memory. Descriptors 0 and 1 may be other files by then, which are
    also open at their start.
    """
    if with_numpy:
        exec("import numpy, numpy as np", PRELUDE)
        PRELUDE.pop("__builtins__")
    sys.stdin = sys.__stdin__ = _open_standard(0, "r", "surrogateescape")
    sys.stdout = sys.__stdout__ = _open_standard(1, "w", "strict")
    sys.stderr = sys.__stderr__ = _open_standard(2, "w", "backslashreplace")
    builtins.open = io.open = _open
    sys.argv = ["solution.py"]
    names = {"stdin": sys.stdin, "stdout": sys.stdout, "stderr": sys.stderr, "argv": sys.argv}
    for name in ("__main__", "solution"):
        module = types.ModuleType(name)
        module.__dict__.update(PRELUDE)
        module.__dict__.update(names, __file__="solution.py", __builtins__=builtins)
        _modules[name] = module


def _open(file: object, *arguments: object, **keywords: object) -> io.IOBase:
    """Open a file; open /dev/stdin and the like by their descriptors, as there is no /proc."""
    if isinstance(file, str) and file in _STANDARD:
        file = os.dup(_STANDARD[file])
    return _real_open(file, *arguments, **keywords)


_open.__name__, _open.__module__ = "open", "io"


def _take_module(name: str) -> types.ModuleType:
    """Return the module prepared for a run; a process has one run."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    module = _modules[name]
    sys.modules[name] = module
    return module


def _open_standard(descriptor: int, mode: str, errors: str) -> io.TextIOWrapper:
    """Open a standard stream as Python does on Linux: only \\n ends a line, \\r is kept."""
    return open(descriptor, mode, encoding="utf-8", errors=errors, newline="\n", closefd=False)
