"""The bench of credit rules: `python benchmarks/credit_rules.py [--quick]`.

Does any use of a process reward model beat outcome-only RLOO where RLOO is at its best? Each rule
of RULES is tried on one seed: four learning rates of the policy, then its variants at the best of
them. RLOO has four variants, the others at most as many. The best setting runs on five other
seeds, at its own rate and at RLOO's. The second task takes over what the first has chosen, for the
main rules and the best of the others. So nothing is chosen there.

Every complete run leaves a line in results.jsonl and is not repeated. To add a rule, write a pure
function in rules.py, a line in rules_run.py that calls it, and a line in RULES.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import credit_tasks
from claims import HARD
from claims_report import read_metrics
from credit_rules_report import (
    Results,
    draw,
    list_trials,
    read_results,
    summarize_run,
    tabulate,
)

FIRST, SECOND = "exam", "walk"
CANDIDATES = ("hard", "walk", "exam")  # among which the search looks
FLIPPED = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
ITERATIONS = 160
RATES = [1e-5, 3e-5, 1e-4, 3e-4]
TRIAL_SEED, SEEDS = 1, [100, 101, 102, 103, 104]
COMMON = {**HARD, "EVAL_DATA": None, "SAVE_EVERY": ITERATIONS, "RESUME": False}
_FROZEN = {"PRM_UPDATE": "none"}  # no PRM is trained


class Rule(NamedTuple):
    settings: dict  # of rules_run.py
    constants: dict  # of train_prime.py
    variants: Sequence[dict] = ()  # constants that are tried at the best rate, four at most


_LESS = {"PROCESS_COEF": 1.0}
RULES = {
    "RLOO": Rule(
        {"source": None},
        {"PROCESS_COEF": 0},
        [
            {"WHITEN": False},
            {"POLICY_WARMUP_STEPS": 0},
            {"POLICY_SCHEDULE": "cosine"},
            {"OPTIMIZER_STEPS": 2},
        ],
    ),
    "oracle": Rule({"source": "oracle"}, _FROZEN, [_LESS, {"PROCESS_COEF": 10.0}, {"GAMMA": 0.5}]),
    "PRIME": Rule({}, {}, [_LESS, {"GAMMA": 0.5}, {"GAMMA": 1.0}]),
    "PRIME, pairs": Rule({"loss": "pairs"}, {}, [_LESS, {"GAMMA": 0.5}]),
    "PRIME, trust": Rule({"trust": True}, {}, [{"PROCESS_COEF": 10.0}, {"GAMMA": 0.5}]),
    "PRIME, all sampled": Rule({"learns": "sampled"}, {}, [_LESS, {"GAMMA": 0.5}]),
    "PRIME, three iterations": Rule({"learns": 3}, {}, [_LESS, {"GAMMA": 0.5}]),
    "PRIME, trust, all sampled": Rule(
        {"trust": True, "learns": "sampled"}, {}, [{"PROCESS_COEF": 10.0}, {"GAMMA": 0.5}]
    ),
    "value": Rule({"use": "value"}, {}),
    "value, lambda 0.95": Rule({"use": "value", "lambda": 0.95}, {}),
    "progress": Rule({"use": "progress"}, {}, [_LESS, {"GAMMA": 0.5}]),
    "progress, prefix loss": Rule({"use": "progress", "loss": "prefix"}, {}, [_LESS]),
    "least to come": Rule({"use": "min"}, {}, [_LESS]),
    "steps": Rule({"use": "step", "loss": "pairs"}, {}, [_LESS, {"PROCESS_COEF": 0.3}]),
    "SPRO": Rule({"source": "self", "use": "masked"}, _FROZEN, [_LESS]),
    "VinePPO": Rule(
        {"source": "vine", "use": "spread"}, _FROZEN | {"OUTCOME_COEF": 0.0, "PROCESS_COEF": 1.0}
    ),
}
MAIN = ("RLOO", "PRIME", "oracle")  # in the figure, and those of --quick


class Job(NamedTuple):
    """A run: its key in results.jsonl."""

    task: str
    rule: str
    variant: int  # 0: none, else its number
    rate: float
    seed: int
    flipped: float = 0.0  # share of the oracle's verdicts

    @property
    def name(self) -> str:
        return "-".join(str(part).replace(" ", "-") for part in self)

    def settings(self) -> dict:
        return {**RULES[self.rule].settings, "flipped": self.flipped}

    def constants(self) -> dict:
        rule = RULES[self.rule]
        variant = rule.variants[self.variant - 1] if self.variant else {}
        own = {**COMMON, **rule.constants, **variant}
        return {**own, "POLICY_LR": self.rate, "SEED": self.seed, "NUM_ITERATIONS": ITERATIONS}


class Bench:
    """The runs, and the record of those that are complete."""

    def __init__(self, out: Path):
        self.out, self.record, self.lock = out, out / "results.jsonl", Lock()
        out.mkdir(parents=True, exist_ok=True)
        self.results: Results = read_results(self.record, Job)
        self.failed: list[str] = []

    def run(self, jobs: Sequence[Job]) -> None:
        """Run those that are not in the record, one per core at a time."""
        missing = [job for job in dict.fromkeys(jobs) if job not in self.results]
        for task in sorted({job.task for job in missing} & set(credit_tasks.TASKS)):
            if not (self.out / task / "sft" / "config.json").exists():
                credit_tasks.make_task(credit_tasks.TASKS[task], self.out / task)
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            list(pool.map(self.run_one, missing))
        if self.failed:
            names = ", ".join(self.failed)
            sys.exit(f"{len(self.failed)} runs failed (see their logs in {self.out}): {names}")

    def run_one(self, job: Job) -> None:
        """Start rules_run.py; add the run's line to the record and delete its folder."""
        folder, settings = self.out / job.name, job.constants()
        if job.task in credit_tasks.TASKS:
            data = self.out / job.task
            settings |= {"MODEL": data / "sft", "TRAIN_DATA": data / "train.jsonl"}
            settings |= credit_tasks.TASKS[job.task].constants
        settings |= {"RUN_NAME": folder.name, "OUTPUT_DIR": self.out}
        command = [sys.executable, "benchmarks/rules_run.py", json.dumps(job.settings()), job.task]
        command += [f"{name}={value}" for name, value in settings.items()]
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
        with Path(f"{folder}.log").open("w") as log:
            done = subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        metrics = read_metrics(folder)
        if done.returncode or len(metrics) != ITERATIONS:
            self.failed.append(job.name)
            return
        line = {**job._asdict(), **summarize_run(metrics)}
        with self.lock, self.record.open("a") as record:
            record.write(json.dumps(line) + "\n")
            self.results[job] = line
        shutil.rmtree(folder)
        print(f"{job.name}: {line['last_fifth']:.1f}", flush=True)

    def choose(self, task: str, rules: Sequence[str]) -> None:
        """Run what find_best() compares: all rates of the rules, then variants at the best."""
        self.run([Job(task, rule, 0, rate, TRIAL_SEED) for rule in rules for rate in RATES])
        jobs = []
        for rule in rules:
            best = self.find_best(task, rule)
            jobs += [best._replace(variant=n + 1) for n in range(len(RULES[rule].variants))]
        self.run(jobs)

    def find_best(self, task: str, rule: str) -> Job:
        """Return the job of a rule that was best on the trial seed, among those that have run."""
        tried = [job for job in self.results if job[:2] == (task, rule) and job.seed == TRIAL_SEED]
        plain = [job for job in tried if not job.variant and job.rate in RATES and not job.flipped]
        best = max(plain, key=lambda job: self.results[job]["last_fifth"])
        variants = [job for job in tried if job.rate == best.rate and not job.flipped]
        return max(variants, key=lambda job: self.results[job]["last_fifth"])

    def settings_of(self, task: str, rule: str) -> tuple[Job, Job, Job]:
        """Return the jobs, on any seed, that the table compares: at the rule's own rate, at RLOO's,
        at ten times its own. What the first task has chosen holds on the second too.
        """
        own, rloo = self.find_best(FIRST, rule), self.find_best(FIRST, "RLOO")
        own = own._replace(task=task)
        return own, own._replace(rate=rloo.rate), own._replace(rate=10 * own.rate)

    def mean_end(self, rule: str) -> float:
        """Return the accuracy of a rule on the first task, at its own rate, over SEEDS."""
        job = self.settings_of(FIRST, rule)[0]
        return sum(self.results[job._replace(seed=s)]["last_fifth"] for s in SEEDS) / len(SEEDS)


def search(bench: Bench, rules: Sequence[str]) -> None:
    """Look for a task with headroom: RLOO and the oracle, each at its best."""
    for task in CANDIDATES:
        bench.choose(task, ("RLOO", "oracle"))


def compare(bench: Bench, rules: Sequence[str]) -> None:
    """Choose each rule's setting on the first task; run it on other seeds there, and the main rules
    and the best of the others on the second task.
    """
    bench.choose(FIRST, rules)
    confirm(bench, rules, FIRST)
    ends = {rule: bench.mean_end(rule) for rule in rules if rule not in MAIN}
    winner = [max(ends, key=ends.get)] if ends else []
    confirm(bench, [rule for rule in rules if rule in MAIN] + winner, SECOND)


def confirm(bench: Bench, rules: Sequence[str], task: str, seeds: Sequence[int] = SEEDS) -> None:
    jobs = [job for rule in rules for job in bench.settings_of(task, rule)[:2]]
    bench.run([job._replace(seed=seed) for job in jobs for seed in seeds])


def go_wild(bench: Bench, rules: Sequence[str]) -> None:
    """Run each rule at ten times its rate."""
    jobs = [bench.settings_of(FIRST, rule)[2] for rule in rules]
    bench.run([job._replace(seed=seed) for job in jobs for seed in SEEDS])


def flip(bench: Bench, rules: Sequence[str]) -> None:
    """Run the oracle with a share of its verdicts inverted."""
    job, _, _ = bench.settings_of(FIRST, "oracle")
    jobs = [job._replace(flipped=share) for share in FLIPPED]
    bench.run([job._replace(seed=seed) for job in jobs for seed in SEEDS])


PARTS = {"search": search, "compare": compare, "unstable": go_wild, "flipped": flip}


def report(bench: Bench) -> str:
    """Write table.md and credit-rules.png; return the tables."""
    results, tables = bench.results, []
    known = {job.rule for job in results if job.task == FIRST and job.seed == TRIAL_SEED}
    rules = [rule for rule in RULES if rule in known]
    for task in (FIRST, SECOND) if "RLOO" in rules else ():
        compared = {rule: bench.settings_of(task, rule) for rule in rules}
        tables.append(f"## {task}\n\n{tabulate(results, compared)}")
    tables.append(f"## Trials, seed {TRIAL_SEED}\n\n{list_trials(results, TRIAL_SEED)}")
    if "RLOO" in rules:
        arms = [bench.settings_of(FIRST, rule)[0] for rule in MAIN if rule in rules]
        flips = {}
        if "oracle" in rules:
            job = bench.settings_of(FIRST, "oracle")[0]
            flips = {share: job._replace(flipped=share) for share in FLIPPED}
        draw(bench.out / "credit-rules.png", results, arms, flips)
    (bench.out / "table.md").write_text("\n".join(tables))
    return "\n".join(tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/credit-rules"), metavar="FOLDER")
    parser.add_argument("--quick", action="store_true", help="the main rules, two seeds")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rules", nargs="+", choices=RULES, default=list(RULES))
    arguments = parser.parse_args()
    bench = Bench(arguments.out.resolve())
    if arguments.quick:
        bench.choose(FIRST, MAIN)
        confirm(bench, MAIN, FIRST, SEEDS[:2])
    else:
        for name in arguments.parts:
            PARTS[name](bench, arguments.rules)
    print(report(bench))


if __name__ == "__main__":
    main()
