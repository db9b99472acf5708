"""The default run on a busy machine: `python benchmarks/shared.py`, six minutes on two cores.

Seconds of an iteration alone, and beside one process per core that computes without end. Each is
measured as the scripts wait for threads (checks/openmp.py) and as libgomp waits by itself. The
sides take turns; figures are medians over the turns, with lowest and highest.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from speed import spread

from checks.openmp import SPINS

_WAITS = {"ours": SPINS, "libgomp's": "300000"}  # spins of a thread before it sleeps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--waits", nargs="+", default=list(_WAITS), help="ours, or a number")
    arguments = parser.parse_args()
    seconds: dict[tuple[str, bool], list[float]] = {}
    for _ in range(arguments.repeats):
        for wait in arguments.waits:
            for is_busy in (False, True):
                with busy_cores(is_busy):
                    own = time_iteration(_WAITS.get(wait, wait))
                seconds.setdefault((wait, is_busy), []).append(own)
    for wait in arguments.waits:
        alone, beside = seconds[wait, False], seconds[wait, True]
        ratio = spread([one / other for one, other in zip(beside, alone)])
        print(f"{wait}: alone {spread(alone)} s, beside {spread(beside)} s, ratio {ratio}")


@contextmanager
def busy_cores(is_busy: bool) -> Iterator[None]:
    """Keep every core busy with a process of its own, if asked to."""
    count = len(os.sched_getaffinity(0)) if is_busy else 0
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def time_iteration(spins: str) -> float:
    """Return the median seconds of the default run's iterations 1 to 4."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "GOMP_SPINCOUNT": spins}
    with tempfile.TemporaryDirectory() as folder:
        settings = ["NUM_ITERATIONS=5", "EVAL_DATA=None", f"OUTPUT_DIR={folder}"]
        command = [sys.executable, "train_prime.py", *settings, "RUN_NAME=run"]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
        lines = (Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()
    return statistics.median(json.loads(line)["seconds"] for line in lines[1:])


if __name__ == "__main__":
    main()
