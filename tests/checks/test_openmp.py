"""The scripts say how long idle threads spin before torch loads OpenMP."""

import ast
import importlib
import os
import sys

import pytest
from small_runs import ROOT

from checks import openmp

SCRIPTS = ("train_prime.py", "train_prm.py", "sft.py", "evaluate.py", "score.py")
BENCHMARKS = [f"benchmarks/{name}_run.py" for name in "claims fitting forced gpu rules".split()]


@pytest.mark.parametrize("script", [*SCRIPTS, *BENCHMARKS])
def test_it_is_imported_before_any_library(script):
    names = []
    for node in ast.parse((ROOT / script).read_text()).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module)
    foreign = [name for name in names if name.split(".")[0] not in sys.stdlib_module_names]
    assert foreign[0] == "checks.openmp"


@pytest.mark.parametrize(("given", "used"), [(None, openmp.SPINS), ("7", "7")])
def test_what_the_user_sets_stays(given, used, monkeypatch):
    if given is None:
        monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    else:
        monkeypatch.setenv("GOMP_SPINCOUNT", given)
    importlib.reload(openmp)
    assert os.environ["GOMP_SPINCOUNT"] == used
