"""Does PRIME pay? The paper's claims at small scale: `python benchmarks/claims.py [--quick]`.

Every arm is train_prime.py with some constants of its own, from the same SFT model, on the same
seeds, with as many iterations. Runs go a core each; what was stopped goes on, and what is there is
not run again, so an arm at a time (`--arms`) is the same as all of them. Afterwards the table and a
figure for each claim are written from whatever runs are complete.

The task is the embedded one, on which the SFT model misremembers part of its tables (see
tables_sft.py). Batches and the policy's rate are small, so that what is learned from a batch is
little beside its noise: PRIME has something to do only where that is so.
"""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from claims_report import find_folder, read_metrics, write_report  # noqa: E402

COMMON = {  # constants of every arm, where they differ from the embedded default
    "MODEL": "models/tables-sft",
    "PROMPTS_PER_ITERATION": 8,
    "POLICY_LR": 1e-5,
    "PRM_LR": 3e-4,
    "PRM_OPTIMIZER_STEPS": 8,
    "PRM_UPDATE": "before",
    "GAMMA": 0.9,
    "PROCESS_COEF": 3.0,
    "EVAL_EVERY": 40,
    "SAVE_EVERY": 40,
    "REPORT_EVERY": 10**6,
    "CPU_THREADS": 1,
    "VERIFIER_WORKERS": 1,
}
ARMS = {  # name: constants that differ from COMMON
    "PRIME": {},
    "RLOO": {"PROCESS_COEF": 0},
    "frozen PRM": {"PRM_UPDATE": "none"},  # PRM_MODEL is an offline PRM
    "oracle": {"PRM_UPDATE": "none"},  # by claims_run.py
    "update after": {"PRM_UPDATE": "after"},
    "reference policy": {"PRM_REFERENCE": "policy"},
    "response rewards": {"PROCESS_GRANULARITY": "response"},
    "scale none": {"PROCESS_SCALE": "none"},
    "no whitening": {"WHITEN": False},
    "gamma 1": {"GAMMA": 1.0},
    "process 0.5": {"PROCESS_COEF": 0.5},
    "process 1": {"PROCESS_COEF": 1.0},
    "process 2": {"PROCESS_COEF": 2.0},
    "process 5": {"PROCESS_COEF": 5.0},
    "one PRM step": {"PRM_OPTIMIZER_STEPS": 1},
    "as published": {"PRM_UPDATE": "after", "GAMMA": 1.0, "PROCESS_COEF": 1.0},
    "PRIME, no filter": {"ACCURACY_LOW": 0.0, "ACCURACY_HIGH": 1.0},
    "RLOO, no filter": {"ACCURACY_LOW": 0.0, "ACCURACY_HIGH": 1.0, "PROCESS_COEF": 0},
    "REINFORCE + process": {"ADVANTAGE_ESTIMATOR": "reinforce"},
    "REINFORCE": {"ADVANTAGE_ESTIMATOR": "reinforce", "PROCESS_COEF": 0},
    "GRPO + process": {"ADVANTAGE_ESTIMATOR": "grpo"},
    "GRPO": {"ADVANTAGE_ESTIMATOR": "grpo", "PROCESS_COEF": 0},
    "PRIME, 3x rate": {"POLICY_LR": 3e-5},
    "RLOO, 3x rate": {"POLICY_LR": 3e-5, "PROCESS_COEF": 0},
    "PRIME, 10x rate": {"POLICY_LR": 1e-4},
    "RLOO, 10x rate": {"POLICY_LR": 1e-4, "PROCESS_COEF": 0},
}
QUICK = ("PRIME", "RLOO", "frozen PRM", "oracle")
OFFLINE = {"POLICY_LR": 0.0, "EVAL_DATA": None}  # trains the PRM alone, on other rollouts
_OFFLINE_SEED = 10_000  # added to an arm's seed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="claims 1 and 2, three seeds")
    parser.add_argument("--arms", nargs="*", choices=ARMS, metavar="ARM", help="only these")
    parser.add_argument("--seeds", type=int, nargs="*", default=None)
    parser.add_argument("--iterations", type=int, default=160)
    parser.add_argument("--out", type=Path, default=Path("runs/claims"), help="folder of the runs")
    arguments = parser.parse_args()
    arms = arguments.arms or list(QUICK if arguments.quick else ARMS)
    seeds = arguments.seeds or list(range(100, 103 if arguments.quick else 105))
    out = arguments.out.resolve()
    jobs = [(arm, seed) for arm in arms for seed in seeds]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        done = list(pool.map(lambda job: run_arm(out, *job, arguments.iterations), jobs))
    print(write_report(out, list(ARMS), seeds, arguments.iterations))
    failed = [f"{arm}, seed {seed}" for (arm, seed), ok in zip(jobs, done) if not ok]
    if failed:
        sys.exit(f"{len(failed)} runs failed, see their logs in {out}: {'; '.join(failed)}")


def run_arm(out: Path, arm: str, seed: int, iterations: int) -> bool:
    """Run an arm on a seed, or the rest of it, and before it what it needs; return success."""
    constants = {**ARMS[arm], "NUM_ITERATIONS": iterations}
    if arm == "frozen PRM":
        offline = {**OFFLINE, "NUM_ITERATIONS": iterations, "SEED": seed + _OFFLINE_SEED}
        if not run(find_folder(out, "offline PRM", seed), "train_prime.py", offline):
            return False
        constants["PRM_MODEL"] = str(find_folder(out, "offline PRM", seed) / "prm")
    script = "benchmarks/claims_run.py" if arm == "oracle" else "train_prime.py"
    return run(find_folder(out, arm, seed), script, {"SEED": seed, **constants})


def run(folder: Path, script: str, constants: dict) -> bool:
    """Start a script for a run, unless it is complete; return whether it is then."""
    count = constants["NUM_ITERATIONS"]
    if len(read_metrics(folder)) == count:
        return True
    settings = {**COMMON, **constants, "RUN_NAME": folder.name, "OUTPUT_DIR": str(folder.parent)}
    command = [sys.executable, script, *(f"{name}={value}" for name, value in settings.items())]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".log").open("a") as log:
        subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    is_complete = len(read_metrics(folder)) == count
    print(f"{folder.name}: {'done' if is_complete else 'FAILED'}", flush=True)
    return is_complete


if __name__ == "__main__":
    main()
