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
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

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

OTHER_MODEL = "runs/other-facts-sft"
MADE = {  # models that are made when first used, with these arguments of tables_sft.py
    OTHER_MODEL: ["--facts", "other"],
    "runs/tables-sft-0.5": ["--width", "0.5"],
    "runs/tables-sft-2": ["--width", "2", "--steps", "400"],
}
# STRICT_FORM came after the runs of the report. Responses to these tasks copy no question.
MACHINE = {"CPU_THREADS": 1, "VERIFIER_WORKERS": 1, "STRICT_FORM": False}
HARD = {  # constants of the hard task, where they differ from the embedded default
    "MODEL": "embedded/tables-sft",
    "PROMPTS_PER_ITERATION": 8,
    "POLICY_LR": 1e-5,
    "PRM_LR": 3e-4,
    "PRM_OPTIMIZER_STEPS": 8,
    "PRM_UPDATE": "before",
    "GAMMA": 0.9,
    "PROCESS_COEF": 3.0,
    "WHITEN": True,
    "EVAL_EVERY": 40,
    "SAVE_EVERY": 40,
    **MACHINE,
}
# The ratio is 1 in one step. In four at ten times the task's rate, six tokens in ten thousand leave
# the clip range; at the task's rate none does.
STEPS_10X = {"OPTIMIZER_STEPS": 4, "POLICY_LR": 1e-4, "PROCESS_COEF": 0}
# The responses to a prompt have one length, or nearly. This limit cuts off all of them for one
# prompt in five. The accuracy filter would drop these prompts, so it is off.
CUT = {"MAX_RESPONSE_TOKENS": 64, "ACCURACY_LOW": 0.0, "ACCURACY_HIGH": 1.0}
ARMS = {  # name: constants that differ from HARD
    "PRIME": {},
    "RLOO": {"PROCESS_COEF": 0},
    "frozen PRM": {"PRM_UPDATE": "none"},  # run_arm() sets PRM_MODEL to an offline PRM
    "oracle": {"PRM_UPDATE": "none"},  # claims_run.py runs it
    "oracle, spread": {"PRM_UPDATE": "none"},
    "update after": {"PRM_UPDATE": "after"},
    "reference policy": {"PRM_REFERENCE": "policy"},
    "scale none": {"PROCESS_SCALE": "none"},
    "gamma 1": {"GAMMA": 1.0},
    "process 0.5": {"PROCESS_COEF": 0.5},
    "process 1": {"PROCESS_COEF": 1.0},
    "process 2": {"PROCESS_COEF": 2.0},
    "process 5": {"PROCESS_COEF": 5.0},
    "one PRM step": {"PRM_OPTIMIZER_STEPS": 1},
    "as published": {"PRM_UPDATE": "after", "GAMMA": 1.0, "PROCESS_COEF": 1.0},
    "PRIME, no filter": {"ACCURACY_LOW": 0.0, "ACCURACY_HIGH": 1.0},
    "RLOO, no filter": {"ACCURACY_LOW": 0.0, "ACCURACY_HIGH": 1.0, "PROCESS_COEF": 0},
    "PRIME, no whitening": {"WHITEN": False},
    "RLOO, no whitening": {"WHITEN": False, "PROCESS_COEF": 0},
    "RLOO, gradient clip 0.1": {"POLICY_GRADIENT_CLIP": 0.1, "PROCESS_COEF": 0},
    "PRIME, 3x rate": {"POLICY_LR": 3e-5},
    "RLOO, 3x rate": {"POLICY_LR": 3e-5, "PROCESS_COEF": 0},
    "PRIME, 10x rate": {"POLICY_LR": 1e-4},
    "RLOO, 10x rate": {"POLICY_LR": 1e-4, "PROCESS_COEF": 0},
    "RLOO, 10x rate, four steps": STEPS_10X,
    "RLOO, 10x rate, four steps, clip-higher": {**STEPS_10X, "CLIP_RANGE_HIGH": 0.28},
    "PRIME, 64 tokens": CUT,
    "PRIME, 64 tokens, mask": {**CUT, "TRUNCATED": "mask"},
    "PRIME, 64 tokens, filter": {**CUT, "TRUNCATED": "filter"},
    "PRIME, KL 1": {"KL_COEF": 1.0},
    "PRIME, KL 0.1": {"KL_COEF": 0.1},
}
_PPO = {"ADVANTAGE_ESTIMATOR": "gae", "VALUE": "head", "GAMMA": 1.0}
_PRM_AS_VALUE = {**_PPO, "VALUE": "prm", "PROCESS_COEF": 0}
_NO_FILTER = {"ACCURACY_LOW": 0.0, "ACCURACY_HIGH": 1.0}
_FEW_PROMPTS = {"SAMPLES_PER_PROMPT": 16, "PROMPTS_PER_ITERATION": 2, "PRM_OPTIMIZER_STEPS": 2}
PAPER = {  # experiments of the paper on the hard task: constants that differ from HARD
    "PRIME": {},
    "RLOO": {"PROCESS_COEF": 0},
    "REINFORCE + process": {"ADVANTAGE_ESTIMATOR": "reinforce"},
    "REINFORCE": {"ADVANTAGE_ESTIMATOR": "reinforce", "PROCESS_COEF": 0},
    "REINFORCE + process, no whitening": {"ADVANTAGE_ESTIMATOR": "reinforce", "WHITEN": False},
    "REINFORCE, no whitening": {
        "ADVANTAGE_ESTIMATOR": "reinforce",
        "WHITEN": False,
        "PROCESS_COEF": 0,
    },
    "GRPO + process": {"ADVANTAGE_ESTIMATOR": "grpo"},
    "GRPO": {"ADVANTAGE_ESTIMATOR": "grpo", "PROCESS_COEF": 0},
    "pairs loss": {"PRM_LOSS": "pairs"},
    "PRM trained beforehand": {},  # run_arm() sets PRM_MODEL to an offline PRM
    "PRIME, K 16": _FEW_PROMPTS,
    "RLOO, K 16": {**_FEW_PROMPTS, "PROCESS_COEF": 0},
    "PRM of half the width": {"PRM_MODEL": "runs/tables-sft-0.5", "PRM_REFERENCE": "prm"},
    "PRM of twice the width": {"PRM_MODEL": "runs/tables-sft-2", "PRM_REFERENCE": "prm"},
    "bfloat16 rollouts": {"ROLLOUT_DTYPE": "bfloat16"},
    "bfloat16 rollouts, no weights": {"ROLLOUT_DTYPE": "bfloat16", "IMPORTANCE_CAP": None},
    "no weights": {"IMPORTANCE_CAP": None},
    "no surplus": {"MAX_SURPLUS_AGE": 0},
    "PRIME, no filter": _NO_FILTER,
    "RLOO, no filter": {**_NO_FILTER, "PROCESS_COEF": 0},
    "PRM as value": _PRM_AS_VALUE,
    "PPO + process": _PPO,
    "PPO": {**_PPO, "PROCESS_COEF": 0},
}
PAPER_TRIALS = {  # on other seeds; PPO was chosen from its four, the others have not been run
    "PPO": {**_PPO, "PROCESS_COEF": 0},
    "PPO, 8 value steps": {**_PPO, "PROCESS_COEF": 0, "VALUE_OPTIMIZER_STEPS": 8},
    "PPO, value rate 1e-4": {**_PPO, "PROCESS_COEF": 0, "VALUE_LR": 1e-4},
    "PPO, value warm-up": {**_PPO, "PROCESS_COEF": 0, "VALUE_WARMUP_ITERATIONS": 10},
    "PPO + process": _PPO,
    "PPO + process, gamma 0.9": {**_PPO, "GAMMA": 0.9},
    "PRM as value": _PRM_AS_VALUE,
    "PRM as value, gamma 0.9": {**_PRM_AS_VALUE, "GAMMA": 0.9},
}
OTHER_FACTS = {"PRIME": {}, "RLOO": {"PROCESS_COEF": 0}}  # no constant was chosen on this task
TRIALS = {  # PRIME and RLOO (five each) and the oracle were chosen from these, on other seeds
    "PRIME": {},
    "PRIME, process 1, 4 PRM steps": {"PROCESS_COEF": 1.0, "PRM_OPTIMIZER_STEPS": 4},
    "PRIME, process 1, 4 PRM steps, gamma 0.7": {
        "PROCESS_COEF": 1.0,
        "PRM_OPTIMIZER_STEPS": 4,
        "GAMMA": 0.7,
    },
    "PRIME, 4 PRM steps": {"PRM_OPTIMIZER_STEPS": 4},
    "PRIME, process 10": {"PROCESS_COEF": 10.0},
    "RLOO": {"PROCESS_COEF": 0},
    "RLOO, no whitening": {"PROCESS_COEF": 0, "WHITEN": False},
    "RLOO, gradient clip 0.1": {"PROCESS_COEF": 0, "POLICY_GRADIENT_CLIP": 0.1},
    "RLOO, gradient clip 10": {"PROCESS_COEF": 0, "POLICY_GRADIENT_CLIP": 10.0},
    "RLOO, no warm-up": {"PROCESS_COEF": 0, "POLICY_WARMUP_STEPS": 0},
    "oracle": {"PRM_UPDATE": "none"},
    "oracle, spread": {"PRM_UPDATE": "none"},
    "oracle, spread, gamma 0.5": {"PRM_UPDATE": "none", "GAMMA": 0.5},
}
DEFAULT = {  # arms of the embedded default
    "PRIME": {},
    "RLOO": {"PROCESS_COEF": 0},
    "PRIME, no warm-up": {"POLICY_WARMUP_STEPS": 0},
    "RLOO, no warm-up": {"PROCESS_COEF": 0, "POLICY_WARMUP_STEPS": 0},
    "oracle": {"PRM_UPDATE": "none"},
    "PRIME, 3x rate": {"POLICY_LR": 3e-4},
    "RLOO, 3x rate": {"PROCESS_COEF": 0, "POLICY_LR": 3e-4},
    "PRIME, whitened": {"WHITEN": True},
    "RLOO, whitened": {"PROCESS_COEF": 0, "WHITEN": True},
}
DEFAULT_TRIALS = {  # the embedded default was chosen from these, eight each; most whiten
    "PRIME": {},
    "PRIME, one PRM step": {"PRM_OPTIMIZER_STEPS": 1},
    "PRIME, 8 PRM steps": {"PRM_OPTIMIZER_STEPS": 8},
    "PRIME, update before": {"PRM_UPDATE": "before"},
    "PRIME, gamma 0.9": {"GAMMA": 0.9},
    "PRIME, process 3": {"PROCESS_COEF": 3.0},
    "PRIME, no whitening": {"WHITEN": False},
    "PRIME, two optimizer steps": {"OPTIMIZER_STEPS": 2},
    "RLOO": {"PROCESS_COEF": 0},
    "RLOO, no whitening": {"PROCESS_COEF": 0, "WHITEN": False},
    "RLOO, gradient clip 0.1": {"PROCESS_COEF": 0, "POLICY_GRADIENT_CLIP": 0.1},
    "RLOO, gradient clip 10": {"PROCESS_COEF": 0, "POLICY_GRADIENT_CLIP": 10.0},
    "RLOO, no warm-up": {"PROCESS_COEF": 0, "POLICY_WARMUP_STEPS": 0},
    "RLOO, no warm-up, no whitening": {
        "PROCESS_COEF": 0,
        "POLICY_WARMUP_STEPS": 0,
        "WHITEN": False,
    },
    "RLOO, two optimizer steps": {"PROCESS_COEF": 0, "OPTIMIZER_STEPS": 2},
    "RLOO, GRPO": {"PROCESS_COEF": 0, "ADVANTAGE_ESTIMATOR": "grpo"},
}
SEEDS = [100, 101, 102, 103, 104]
PARTS = [
    Part("hard", "The hard task", HARD, ARMS, SEEDS, 160),
    Part(
        "other-facts",
        "The hard task, other facts misremembered",
        {**HARD, "MODEL": OTHER_MODEL},
        OTHER_FACTS,
        SEEDS,
        160,
    ),
    Part("default", "The embedded default", MACHINE, DEFAULT, SEEDS, 40),
    Part("paper", "Experiments of the paper on the hard task", HARD, PAPER, SEEDS, 160),
    Part("paper-trials", "Trials of these", HARD, PAPER_TRIALS, [1, 2], 160),
    Part("hard-trials", "Trials of the hard task", HARD, TRIALS, [1, 2], 160),
    Part(
        "default-trials",
        "Trials of the embedded default, whitened unless the arm says otherwise",
        {"WHITEN": True, **MACHINE},
        DEFAULT_TRIALS,
        [200, 201],
        40,
    ),
]
QUICK = ("PRIME", "RLOO", "frozen PRM", "oracle")  # of the hard task
OFFLINE = {"POLICY_LR": 0.0, "EVAL_DATA": None}  # trains the PRM alone, on other rollouts
_OFFLINE_SEED = 10_000  # added to an arm's seed


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
    if arm in ("frozen PRM", "PRM trained beforehand"):
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
    """Start a script (with its first arguments) unless its run is complete; return success."""
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
