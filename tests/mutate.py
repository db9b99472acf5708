"""Mutation check: do the tests notice a fault? `python tests/mutate.py [MODULE ...]`

tests/mutations/ is a table of one-line faults. Each is put alone into a copy of the tree, and the
tests that should notice run in that copy. A fault that they do not notice survives: a test is
missing, or the fault changes nothing, which the table then says (`expected`).

MODULE is a part of a file's path, or the name of a group, such as wiring. All faults take about 40
minutes on two cores. The tests run once without a fault first, because a test that always fails
notices nothing. Exit status 1: a survivor that the table does not expect, tests that fail without
a fault, or a fault that no longer fits the code.
"""

import argparse
import ast
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from mutations import (
    algorithm,
    checks,
    evaluation,
    generation,
    knobs,
    left_running,
    models,
    own,
    prm_script,
    published,
    reporting,
    rollouts,
    runs,
    training,
    value,
    verifiers,
    wiring,
)
from mutations.fault import Fault

ROOT = Path(__file__).resolve().parent.parent
FAULTS = [
    *wiring.FAULTS,
    *runs.FAULTS,
    *algorithm.FAULTS,
    *rollouts.FAULTS,
    *generation.FAULTS,
    *models.FAULTS,
    *training.FAULTS,
    *value.FAULTS,
    *knobs.FAULTS,
    *prm_script.FAULTS,
    *checks.FAULTS,
    *evaluation.FAULTS,
    *published.FAULTS,
    *reporting.FAULTS,
    *left_running.FAULTS,
    *verifiers.FAULTS,
    *own.FAULTS,
]
_LEFT_OUT = shutil.ignore_patterns(
    ".git", "__pycache__", ".*_cache", ".hypothesis", ".venv", "runs", "wandb", "*.checkpoint"
)
_SECONDS = 300  # a fault that makes tests run longer is noticed
_BASELINE_SECONDS = 1800
_OPTIONS = ["-q", "-o", "addopts=--import-mode=importlib"]
# Each fault has a process of its own, forked from one that has imported these: 5 seconds less.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    ["pytest", "sympy", "torch", "torch.distributed.tensor", "transformers.models.llama"]
    + ["transformers.models.llama.modeling_llama", "transformers.models.qwen2.modeling_qwen2"]
)
_ENVIRONMENT = {  # before the libraries read it
    "GOMP_SPINCOUNT": "1000",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # a second less for each fault
}
_FIRST_FAILURE = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", re.MULTILINE)
_CAUGHT, _SURVIVED, _BROKEN = "caught", "SURVIVED", "BROKEN"


def main() -> None:
    arguments = parse_arguments()
    os.environ.update(_ENVIRONMENT)
    chosen = [fault for fault in FAULTS if matches(fault, arguments.modules)]
    if not chosen:
        sys.exit(f"no fault is in a file or group named {' or '.join(arguments.modules)}")
    if arguments.list:
        for fault in chosen:
            print(f"{fault.group:>12}  {fault}{' (expected)' if fault.expected else ''}")
        print_counts(chosen)
    misfits = [f"{fault}: {reason}" for fault in chosen if (reason := find_misfit(fault))]
    if misfits:
        sys.exit("The table does not fit the code:\n" + "\n".join(misfits))
    if arguments.list:
        return
    if not arguments.no_baseline:
        run_without_fault(chosen, arguments.workers)
    sys.exit(run_all(chosen, arguments.workers))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="part of a path, or a group")
    parser.add_argument(
        "--list", action="store_true", help="print the table, check it, run nothing"
    )
    parser.add_argument("--workers", type=int, default=2, help="faults tried at the same time")
    parser.add_argument(
        "--no-baseline", action="store_true", help="do not run the tests without a fault first"
    )
    return parser.parse_args()


def matches(fault: Fault, modules: Sequence[str]) -> bool:
    return not modules or any(name in fault.path or name == fault.group for name in modules)


def find_misfit(fault: Fault) -> str:
    """Return why a fault no longer fits the code, "" if it does."""
    path = ROOT / fault.path
    if not path.exists():
        return "there is no such file"
    text = path.read_text()
    count = text.count(fault.old)
    if count != 1:
        return f"its text is there {count} times, not once: {fault.old!r}"
    try:
        before, after = (ast.dump(ast.parse(t)) for t in (text, put_in(fault, text)))
    except SyntaxError as error:
        return f"with it, the file is no Python: {error}"
    if before == after:
        return "it changes nothing"
    for test in fault.tests:
        name, _, function = test.partition("::")
        own = ROOT / name
        if not own.exists():
            return f"there is no {name}"
        if function and f"def {function.partition('[')[0]}(" not in own.read_text():
            return f"there is no {test}"
    return ""


def put_in(fault: Fault, text: str) -> str:
    return text.replace(fault.old, fault.new)


def run_without_fault(chosen: Sequence[Fault], workers: int) -> None:
    """Run all tests of some faults in an unchanged copy; end this script if one fails."""
    files = {test for fault in chosen for test in fault.tests if "::" not in test}
    tests = {t for fault in chosen for t in fault.tests if t.partition("::")[0] not in files}
    options = ["-p", "xdist.plugin", "-n", str(workers), "--dist", "worksteal"]
    with copied_tree() as folder:
        status, output, seconds = run_tests(
            folder, [*options, *sorted(files | tests)], _BASELINE_SECONDS
        )
    print(f"without a fault, {len(files | tests)} selections: {seconds:.0f} s", flush=True)
    if status != 0:
        sys.exit(f"The tests fail without any fault, so they prove nothing:\n{output[-3000:]}")


def run_all(chosen: Sequence[Fault], workers: int) -> int:
    """Try the faults; print each, then the survivors. Return the exit status."""
    started = time.monotonic()
    lists: dict[str, list[str]] = {
        "survivors": [],
        "expected survivors": [],
        "caught after all": [],
    }
    with ThreadPoolExecutor(workers) as pool:
        for fault, (result, notice, seconds) in zip(chosen, pool.map(try_fault, chosen)):
            print(f"{result:>8} {seconds:6.1f} s  {fault}  [{notice}]", flush=True)
            if fault.expected and result != _BROKEN:
                name = "expected survivors" if result == _SURVIVED else "caught after all"
                lists[name].append(f"{fault}: {fault.expected}")
            elif result != _CAUGHT:
                lists["survivors"].append(f"{fault}" + " (tests broken)" * (result == _BROKEN))
    for name, lines in lists.items():
        print(f"\n{name}: {len(lines)}", *lines, sep="\n  ")
    must = len(chosen) - len(lists["expected survivors"])
    caught = must - len(lists["survivors"])
    print(f"\n{caught} of {must} faults caught ({100 * caught / max(1, must):.1f} %)", end="")
    print(f" in {time.monotonic() - started:.0f} s")
    return 1 if lists["survivors"] else 0


def try_fault(fault: Fault) -> tuple[str, str, float]:
    """Return what became of a fault, which test noticed it, and the seconds that took."""
    with copied_tree() as folder:
        path = folder / fault.path
        path.write_text(put_in(fault, path.read_text()))
        options = ["-x", "-p", "no:xdist"]
        status, output, seconds = run_tests(folder, [*options, *fault.tests], _SECONDS)
    failure = _FIRST_FAILURE.search(output)
    notice = failure[1] if failure else "no test failed"
    if status is None:
        return _CAUGHT, "out of time", seconds
    if status in (0, 1):
        return (_CAUGHT if status else _SURVIVED), notice, seconds
    return _BROKEN, f"pytest ended with {status}: {notice}", seconds  # tests that could not run


@contextmanager
def copied_tree() -> Iterator[Path]:
    """Yield a fresh copy of the tree: no compiled file of another fault can be in it."""
    with tempfile.TemporaryDirectory(prefix="mutate-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary) / "tree"
        shutil.copytree(ROOT, folder, ignore=_LEFT_OUT)
        (Path(temporary) / "tmp").mkdir()
        yield folder


def run_tests(
    folder: Path, arguments: Sequence[str], timeout: float
) -> tuple[int | None, str, float]:
    """Return pytest's exit status (None: out of time), its output, and the seconds it took."""
    started = time.monotonic()
    said = folder.parent / "output"
    process = _PROCESSES.Process(target=be_pytest, args=(folder, said, [*_OPTIONS, *arguments]))
    process.start()
    process.join(timeout)
    status = process.exitcode
    if status is None:
        kill_tree(process.pid)
        process.join()
    return status, said.read_text(errors="replace"), time.monotonic() - started


def be_pytest(folder: Path, said: Path, arguments: Sequence[str]) -> None:
    """Be `python -m pytest` in a folder: a process that has imported the libraries before."""
    os.setsid()
    for stream in (1, 2):
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder.parent / "tmp")
    # A cache of the user's could hold what the code without the fault has computed.
    os.environ["HF_DATASETS_CACHE"] = str(folder.parent / "datasets")
    os.chdir(folder)
    own = [path for path in sys.path if not Path(path or ".").is_relative_to(ROOT)]
    sys.path[:] = [str(folder), *own]
    sys.argv[:] = ["pytest", *arguments]
    sys.exit(int(pytest.main(list(arguments))))


def kill_tree(pid: int) -> None:
    """Kill a process and all that it has started: tests start sessions of their own."""
    process = psutil.Process(pid)
    for one in [*process.children(recursive=True), process]:
        try:
            one.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            pass


def print_counts(chosen: Sequence[Fault]) -> None:
    counts = Counter(fault.group for fault in chosen)
    print(", ".join(f"{group} {count}" for group, count in counts.items()), end="")
    print(f": {len(chosen)} faults")


if __name__ == "__main__":
    main()
