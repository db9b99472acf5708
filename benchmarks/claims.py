"""Tests the paper's claims at small scale: `python benchmarks/claims.py [--quick]`.

An arm is train_prime.py with some constants changed. All arms of a part have the same SFT model,
seeds and number of iterations. A run takes one core. A stopped run resumes and a complete one is
not repeated, so the arms may also run one at a time (`--parts hard --arms PRIME`). At the end, the
script writes a table, and a figure for each claim, from all complete runs.

There are two tasks: the embedded default and a hard one. On the hard task the SFT model
misremembers part of its tables (see tables_sft.py), batches are small, and the policy's learning
rate is low. So the policy learns little from a batch, compared with the noise of the batch.
"""

import argparse
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from claims_arms import OTHER_MODEL, PARTS, SEEDS
from claims_report import Part, find_folder, write_report

import train_prime
from checks.constants import follow_precision, read_constants
from checks.errors import UserError
from checks.saved_constants import (
    check_same_constants,
    read_saved_constants,
)
from checks.training_run import FREE_TO_CHANGE, translate_earlier
from training.checkpoint import find_checkpoint

MADE = {  # models that are made when first used, with these arguments of tables_sft.py
    OTHER_MODEL: ["--facts", "other"],
    "runs/tables-sft-0.5": ["--width", "0.5"],
    "runs/tables-sft-2": ["--width", "2", "--steps", "400"],
}
QUICK = ("PRIME", "RLOO", "frozen PRM", "oracle")  # of the hard task
OFFLINE = {"POLICY_LR": 0.0, "EVAL_DATA": None}  # trains the PRM alone, on other rollouts
_OFFLINE_SEED = 10_000  # added to an arm's seed
_RUNNING: dict[Path, Lock] = defaultdict(Lock)  # by folder of the run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [part.folder for part in PARTS]
    parser.add_argument("--quick", action="store_true", help="claims 1 and 2, three seeds")
    parser.add_argument("--parts", nargs="+", choices=names, default=names, help="run only these")
    parser.add_argument("--arms", nargs="+", metavar="ARM", help="only these arms of the parts")
    parser.add_argument("--seeds", type=int, nargs="+", help="in place of each part's seeds")
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--out", type=Path, default=Path("runs/claims"), help="folder of the runs")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.parts, arguments.arms = ["hard"], QUICK
        arguments.seeds = arguments.seeds or SEEDS[:3]
    parts = [part._replace(iterations=arguments.iterations or part.iterations) for part in PARTS]
    every = {arm for part in parts if part.folder in arguments.parts for arm in part.arms}
    arms = arguments.arms or every
    if unknown := [arm for arm in arms if arm not in every]:
        parser.error(f"no arm {unknown[0]!r} in {', '.join(arguments.parts)}: see {__file__}")
    wanted = [
        part._replace(
            arms={arm: own for arm, own in part.arms.items() if arm in arms},
            seeds=arguments.seeds or part.seeds,
        )
        for part in parts
        if part.folder in arguments.parts
    ]
    out = arguments.out.resolve()
    failed = run_parts(out, wanted)
    print(write_report(out, parts))
    if failed:
        sys.exit(f"{len(failed)} runs failed (see their logs in {out}): {'; '.join(failed)}")


def run_parts(out: Path, parts: Sequence[Part]) -> list[str]:
    """Run all arms on all seeds, one run per core at a time; return the failed ones."""
    jobs = [(part, arm, seed) for part in parts for arm in part.arms for seed in part.seeds]
    models = {part.common.get("MODEL") for part in parts}
    models |= {arm.get("PRM_MODEL") for part in parts for arm in part.arms.values()}
    for model, settings in MADE.items():
        if model in models and not (ROOT / model).exists():
            command = [sys.executable, "benchmarks/tables_sft.py", *settings, "--output", model]
            subprocess.run(command, cwd=ROOT, check=True)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        done = list(pool.map(lambda job: run_arm(out / job[0].folder, *job), jobs))
    return [
        f"{part.folder}: {arm}, seed {seed}" for (part, arm, seed), ok in zip(jobs, done) if not ok
    ]


def run_arm(folder: Path, part: Part, arm: str, seed: int) -> bool:
    """Run or resume an arm on a seed, after the runs that it needs; return success."""
    constants = {**part.common, **part.arms[arm], "NUM_ITERATIONS": part.iterations}
    if arm.startswith(("frozen PRM", "PRM trained beforehand")):
        offline = {**part.common, **OFFLINE, "NUM_ITERATIONS": part.iterations}
        offline["SEED"] = seed + _OFFLINE_SEED
        if not run(find_folder(folder, "offline PRM", seed), ["train_prime.py"], offline):
            return False
        constants["PRM_MODEL"] = str(find_folder(folder, "offline PRM", seed) / "prm")
    script = ["train_prime.py"]
    if arm.startswith("oracle"):
        script = ["benchmarks/claims_run.py", "spread" if "spread" in arm else "result"]
    return run(find_folder(folder, arm, seed), script, {"SEED": seed, **constants})


def run(folder: Path, script: Sequence[str], constants: dict) -> bool:
    """Start a script (with its first arguments) unless its run is complete; return success.

    Arms may share a run: the second one waits for it.
    """
    with _RUNNING[folder]:
        return _run(folder, script, constants)


def _run(folder: Path, script: Sequence[str], constants: dict) -> bool:
    settings = {**constants, "RUN_NAME": folder.name, "OUTPUT_DIR": str(folder.parent)}
    if is_complete(folder, constants["NUM_ITERATIONS"]):
        return has_same_constants(folder, settings)
    command = [sys.executable, *script, *(f"{name}={value}" for name, value in settings.items())]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
    environment["OMP_NUM_THREADS"] = "1"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{folder}.log").open("a") as log:
        subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    has_ended = is_complete(folder, constants["NUM_ITERATIONS"])
    print(f"{folder.name}: {'done' if has_ended else 'FAILED'}", flush=True)
    return has_ended


def has_same_constants(folder: Path, settings: dict) -> bool:
    """Return whether a run had the constants that it would have now; print the differences."""
    now = follow_precision({**read_constants(vars(train_prime)), **settings})
    free = [*FREE_TO_CHANGE, "PRM_MODEL"]  # a path, and it may have moved
    try:
        old = translate_earlier(read_saved_constants(folder), now)
        check_same_constants(now, old, folder, free)
    except UserError as error:
        print(f"{folder.name}: FAILED: {error}", flush=True)
        return False
    return True


def is_complete(folder: Path, iterations: int) -> bool:
    """Return whether a run has saved its last checkpoint, and so, before it, its models."""
    saved = find_checkpoint(folder / "checkpoint")
    return saved is not None and int(saved.name) == iterations


if __name__ == "__main__":
    main()
