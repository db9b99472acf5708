"""The bench of credit rules: `python benchmarks/credit_rules.py [--quick]`.

Does any use of a process reward model beat outcome-only RLOO where RLOO is at its best? On one seed
RLOO and the oracle try four learning rates of the policy. RLOO then tries, at the best of them,
what else may help it (BASES). All rules take over what it has chosen there. The others try RLOO's
rate and its two neighbours, then their variants at the best of these: six runs, RLOO eight, and one
more for each rate beyond while the last is best. The best setting runs on five other seeds, at its
own rate and at RLOO's. On the second task the main rules and the best of the others run as the
first has chosen them, with RLOO's rate and base there. So nothing is chosen there but RLOO's own
setting, the baseline.

Every complete run leaves a line in results.jsonl and is not repeated while its constants stay.
--quick compares the main rules on two seeds. It tries only settings that the record of this
repository, docs/credit-rules.jsonl, does not have. To add a rule, write a pure function in
rules.py, a line in rules_run.py that calls it, and a line in credit_arms.py.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from threading import Lock
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import credit_tasks
from claims_arms import HARD
from claims_report import read_metrics
from credit_arms import BASES, ERRING, RULES, WEIGHTS
from credit_rules_report import (
    Results,
    by_seed,
    draw,
    list_trials,
    read_results,
    summarize_run,
    tabulate,
)

RECORD = ROOT / "docs/credit-rules.jsonl"
FIRST, SECOND = "exam", "walk"  # RLOO differs less between seeds on the first
CANDIDATES = ("hard", "walk", "exam")  # among which the search looks
FLIPPED = (0.05, 0.1, 0.2, 0.3, 0.5)
ITERATIONS = 80
RATES, BEYOND = (1e-5, 3e-5, 1e-4, 3e-4), (1e-3, 3e-3)
COLLAPSE = re.compile("The gradient of the .* is (nan|inf)")
TRIAL_SEED, SEEDS = 1, [100, 101, 102, 103, 104]
COMMON = {  # a run that learns nothing any more goes on
    **HARD,
    "EVAL_DATA": None,
    "SAVE_EVERY": ITERATIONS,
    "MAX_EMPTY_ITERATIONS": ITERATIONS,
}
COMPARED = [rule for rule in RULES if rule == "oracle" or rule not in ERRING]
MAIN = ("RLOO", "PRIME", "oracle")  # in the figure, and those of --quick


class Job(NamedTuple):
    """A run: its key in results.jsonl."""

    task: str
    rule: str
    base: int  # number in BASES
    variant: int  # 0: none, else its number
    rate: float
    seed: int
    flipped: float = 0.0  # share of the oracle's verdicts

    @property
    def name(self) -> str:
        return "-".join(str(part).replace(" ", "-") for part in self)

    def split(self) -> tuple[dict, dict]:
        """Return the settings of rules_run.py and the constants of train_prime.py."""
        rule = RULES[self.rule]
        variant = rule.variants[self.variant - 1] if self.variant else {}
        own = {**COMMON, **BASES[self.base], **rule.own, **variant, "flipped": self.flipped}
        own |= {"POLICY_LR": self.rate, "SEED": self.seed, "NUM_ITERATIONS": ITERATIONS}
        settings = {name: value for name, value in own.items() if not name.isupper()}
        return settings, {name: value for name, value in own.items() if name.isupper()}

    def describe(self) -> dict:
        """Return what decides the result, as a line of the record holds it."""
        task = credit_tasks.TASKS.get(self.task)
        own = {"task": task._replace(constants={})} if task else {}
        settings, constants = self.split()
        return json.loads(json.dumps({**settings, **constants, **own}))


class Bench:
    """The runs, and the record of those that are complete."""

    def __init__(self, out: Path):
        self.out, self.record, self.lock = out, out / "results.jsonl", Lock()
        out.mkdir(parents=True, exist_ok=True)
        self.results: Results = {}
        self.failed: list[str] = []
        self.take_over(self.record)

    def take_over(self, record: Path, only_trials: bool = False) -> None:
        """Do not repeat the runs of a record, but for those of other constants."""
        known = read_results(record, Job)
        current = {job: line for job, line in known.items() if is_current(job, line)}
        if len(known) > len(current):
            print(f"{len(known) - len(current)} results of {record} are of other constants")
        kept = {job for job in current if job.seed == TRIAL_SEED or not only_trials}
        self.results |= {job: current[job] for job in kept}

    def run(self, jobs: Sequence[Job]) -> None:
        """Run those that are not in the record, one per core at a time."""
        missing = [job for job in dict.fromkeys(jobs) if job not in self.results]
        for task in sorted({job.task for job in missing} & set(credit_tasks.TASKS)):
            if not (self.out / task / "sft" / "config.json").exists():
                credit_tasks.make_task(credit_tasks.TASKS[task], self.out / task)
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            list(pool.map(self.run_one, missing))

    def run_one(self, job: Job) -> None:
        """Start rules_run.py; add the run's line to the record and delete its folder.

        A run whose gradients are no longer finite has collapsed: its accuracy is 0 from there on.
        """
        folder = self.out / job.name
        settings, constants = job.split()
        if job.task in credit_tasks.TASKS:
            data = self.out / job.task
            constants |= {"MODEL": data / "sft", "TRAIN_DATA": data / "train.jsonl"}
            constants |= credit_tasks.TASKS[job.task].constants
        constants |= {"RUN_NAME": folder.name, "OUTPUT_DIR": self.out}
        command = [sys.executable, "benchmarks/rules_run.py", json.dumps(settings), job.task]
        command += [f"{name}={value}" for name, value in constants.items()]
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
        log = Path(f"{folder}.log")
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was stopped
        with log.open("w") as file:
            done = subprocess.run(command, cwd=ROOT, env=environment, stdout=file, stderr=file)
        metrics = read_metrics(folder)
        if done.returncode and not COLLAPSE.search(log.read_text()):
            self.failed.append(job.name)
            return
        line = {**job._asdict(), "of": job.describe(), **summarize_run(metrics, ITERATIONS)}
        with self.lock, self.record.open("a") as record:
            record.write(json.dumps(line) + "\n")
            self.results[job] = line
        shutil.rmtree(folder)
        print(f"{job.name}: {line['last_fifth']:.1f}", flush=True)

    def choose(self, task: str, rules: Sequence[str]) -> None:
        """Run what find_best() compares: rates, then at the best of them bases or variants."""
        rules = [rule for rule in rules if rule != "RLOO"]
        for together in (["RLOO"], rules):
            base = 0 if "RLOO" in together else self.find_best(task, "RLOO").base
            plain = [
                Job(task, rule, base, 0, rate, TRIAL_SEED)
                for rule in together
                for rate in self.list_rates(task, rule)
            ]
            self.run(plain)
            for rule in together:
                for rate in (*RATES, *BEYOND, *reversed(RATES)):  # while the last one is best
                    best = self.find_best(task, rule)
                    tried = [job.rate for job in self.trials(task, rule)]
                    if best.rate == max(tried) < rate or best.rate == min(tried) > rate:
                        self.run([best._replace(rate=rate)])
            jobs = []
            for rule in together:
                best = self.find_best(task, rule)
                jobs += [best._replace(variant=n + 1) for n in range(len(RULES[rule].variants))]
                if rule == "RLOO":
                    jobs += [best._replace(base=n) for n in range(len(BASES))]
            self.run(jobs)

    def list_rates(self, task: str, rule: str) -> Sequence[float]:
        """Return the rates to try at first: all for RLOO and the oracle, else those near RLOO's."""
        if rule in ("RLOO", "oracle"):
            return RATES
        rates = (*RATES, *BEYOND)
        place = rates.index(self.find_best(task, "RLOO").rate)
        return rates[max(0, place - 1) : place + 2]

    def trials(self, task: str, rule: str) -> list[Job]:
        """Return a rule's runs on the trial seed with the base that RLOO has chosen; RLOO's all."""
        own = [job for job in self.results if job[:2] == (task, rule) and job.seed == TRIAL_SEED]
        own = [job for job in own if job.rate in (*RATES, *BEYOND) and not job.flipped]
        base = None if rule == "RLOO" else self.find_best(task, "RLOO").base
        return [job for job in own if base is None or job.base == base]

    def find_best(self, task: str, rule: str) -> Job:
        """Return the job of a rule that was best on the trial seed, among those that have run."""
        tried = self.trials(task, rule)
        first = [job for job in tried if not job.variant and (rule != "RLOO" or not job.base)]
        best = max(first, key=lambda job: self.results[job]["last_fifth"])
        tried = [job for job in tried if job.rate == best.rate]
        return max(tried, key=lambda job: self.results[job]["last_fifth"])

    def settings_of(self, task: str, rule: str) -> tuple[Job, Job, Job]:
        """Return the jobs, on any seed, that the table compares: at the rule's own rate, at RLOO's,
        at ten times its own. The second task takes over the first's variants, not their rates.
        """
        rloo = self.find_best(task, "RLOO")
        own = rloo if rule == "RLOO" else self.find_best(FIRST, rule)
        if task != FIRST:
            own = own._replace(task=task, base=rloo.base, rate=rloo.rate)
        return own, own._replace(rate=rloo.rate), own._replace(rate=10 * own.rate)

    def mean_end(self, rule: str) -> float:
        """Return the accuracy of a rule on the first task, at its own rate, over SEEDS."""
        runs = by_seed(self.results, self.settings_of(FIRST, rule)[0])
        return mean([run["last_fifth"] for run in runs.values()] or [0.0])


def is_current(job: Job, line: dict) -> bool:
    """Return whether a line of the record is of the constants of today."""
    try:
        return line["of"] == job.describe()
    except (KeyError, IndexError):  # a rule, a base or a variant that is gone
        return False


def search(bench: Bench, rules: Sequence[str]) -> None:
    """Look for a task with headroom: RLOO and the oracle, each at its best."""
    for task in CANDIDATES:
        bench.choose(task, ["oracle"])


def compare(bench: Bench, rules: Sequence[str]) -> None:
    """Choose each rule's setting on the first task; run it on other seeds there, and the main rules
    and the best of the others on the second task.
    """
    bench.choose(FIRST, rules)
    bench.choose(SECOND, [])
    confirm(bench, rules, FIRST)
    ends = {rule: bench.mean_end(rule) for rule in rules if rule not in MAIN}
    winner = [max(ends, key=ends.get)] if ends else []
    confirm(bench, [rule for rule in rules if rule in MAIN] + winner, SECOND)


def confirm(bench: Bench, rules: Sequence[str], task: str, seeds: Sequence[int] = SEEDS) -> None:
    jobs = [
        job for rule in dict.fromkeys(["RLOO", *rules]) for job in bench.settings_of(task, rule)[:2]
    ]
    bench.run([job._replace(seed=seed) for job in jobs for seed in seeds])


def go_wild(bench: Bench, rules: Sequence[str]) -> None:
    """Run each rule at ten times its rate."""
    bench.choose(FIRST, rules)
    jobs = [bench.settings_of(FIRST, rule)[2] for rule in rules]
    bench.run([job._replace(seed=seed) for job in jobs for seed in SEEDS])


def flip(bench: Bench, rules: Sequence[str]) -> None:
    """Run the oracle with a share of its verdicts inverted, at each share with its best weight."""
    bench.choose(FIRST, ["oracle"])
    bench.run([job for own in list_flips(bench).values() for jobs in own.values() for job in jobs])
    jobs = [job for own in find_flips(bench).values() for job in own.values()]
    bench.run([job._replace(seed=seed) for job in jobs for seed in SEEDS])


def list_flips(bench: Bench) -> dict[str, dict[float, list[Job]]]:
    """Return the jobs on the trial seed, by what the oracle errs on and by the share."""
    best = bench.find_best(FIRST, "oracle")
    weights = [best._replace(variant=number) for number in WEIGHTS]
    return {
        name: {
            share: [job._replace(rule=rule, flipped=share) for job in weights] for share in FLIPPED
        }
        for rule, name in ERRING.items()
    }


def find_flips(bench: Bench) -> dict[str, dict[float, Job]]:
    """Return the best of these jobs, as far as they have run; without errors, the oracle's."""
    flips = {}
    for name, shares in list_flips(bench).items():
        flips[name] = {0.0: bench.find_best(FIRST, "oracle")}
        for share, jobs in shares.items():
            tried = [job for job in jobs if job in bench.results]
            if tried:
                ends = {job: bench.results[job]["last_fifth"] for job in tried}
                flips[name][share] = max(ends, key=ends.get)
    return flips


PARTS = {"search": search, "compare": compare, "unstable": go_wild, "flipped": flip}


def report(bench: Bench) -> str:
    """Write table.md and credit-rules.png; return the tables."""
    results, tables = bench.results, []
    known = {job[:2] for job in results if job.seed == TRIAL_SEED}
    rules = [rule for rule in COMPARED if (FIRST, rule) in known]
    for task in [task for task in (FIRST, SECOND) if {(FIRST, "RLOO"), (task, "RLOO")} <= known]:
        compared = {rule: bench.settings_of(task, rule) for rule in rules}
        tables.append(f"## {task}\n\n{tabulate(results, compared)}")
    tables.append(f"## Trials, seed {TRIAL_SEED}\n\n{list_trials(results, TRIAL_SEED)}")
    if "RLOO" in rules:
        arms = [bench.settings_of(FIRST, rule)[0] for rule in MAIN if rule in rules]
        flips = find_flips(bench) if "oracle" in rules else {}
        draw(bench.out / "credit-rules.png", results, arms, flips)
    (bench.out / "table.md").write_text("\n".join(tables))
    return "\n".join(tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/credit-rules"), metavar="FOLDER")
    parser.add_argument("--quick", action="store_true", help="the main rules, two seeds")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rules", nargs="+", choices=COMPARED, default=COMPARED)
    arguments = parser.parse_args()
    bench = Bench(arguments.out.resolve())
    if arguments.quick:
        if RECORD.exists():
            bench.take_over(RECORD, only_trials=True)
        else:
            print(f"there is no {RECORD}: all trials are run")
        bench.choose(FIRST, MAIN)
        confirm(bench, MAIN, FIRST, SEEDS[:2])
    else:
        for name in arguments.parts:
            PARTS[name](bench, arguments.rules)
    print(report(bench))
    if bench.failed:
        names = ", ".join(bench.failed)
        sys.exit(f"{len(bench.failed)} runs failed (see their logs in {bench.out}): {names}")


if __name__ == "__main__":
    main()
