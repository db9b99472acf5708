"""The runs of credit_rules.py: what a run is, which have run, which setting of a rule was best."""

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
from credit_arms import BASES, RULES
from credit_rules_report import Results, by_seed, read_results, summarize_run

FIRST, SECOND = "exam", "walk"  # RLOO differs less between seeds on the first
ITERATIONS = 80
RATES, BEYOND = (1e-5, 3e-5, 1e-4, 3e-4), (1e-3, 3e-3)
COLLAPSE = re.compile("The gradient of the .* is (nan|inf)|The policy has collapsed")
TRIAL_SEED, MORE_TRIALS = 1, (2, 3)  # the others for RLOO's best bases
SEEDS, FRESH = [100, 101, 102, 103, 104], [105, 106, 107, 108, 109]
FINALISTS = 3
COMMON = {  # a run that learns nothing any more goes on
    **HARD,
    "EVAL_DATA": None,
    "SAVE_EVERY": ITERATIONS,
    "MAX_EMPTY_ITERATIONS": ITERATIONS,
}


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
        trials = (TRIAL_SEED, *MORE_TRIALS)
        kept = {job for job in current if job.seed in trials or not only_trials}
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

        A run whose gradients are no longer finite, or which solves less than half of what it did at
        first, has collapsed: its accuracy is 0 from there on.
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
            if together == ["RLOO"]:
                self.run([job for own in self.list_finalists(task) for job in own])

    def list_finalists(self, task: str) -> list[list[Job]]:
        """Return RLOO's best bases at its best rate, each on all trial seeds."""
        rate = self.find_best(task, "RLOO").rate
        tried = [job for job in self.trials(task, "RLOO") if job.rate == rate]
        tried.sort(key=lambda job: -self.results[job]["last_fifth"])
        seeds = (TRIAL_SEED, *MORE_TRIALS)
        return [[job._replace(seed=seed) for seed in seeds] for job in tried[:FINALISTS]]

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
        if rule == "RLOO":  # where others have run on more seeds, these decide
            most = max(len(self.ends(job)) for job in tried)
            tried = [job for job in tried if len(self.ends(job)) == most]
        return max(tried, key=lambda job: mean(self.ends(job)))

    def ends(self, job: Job) -> list[float]:
        """Return the ends of a job's runs on the trial seeds."""
        jobs = [job._replace(seed=seed) for seed in (TRIAL_SEED, *MORE_TRIALS)]
        return [self.results[job]["last_fifth"] for job in jobs if job in self.results]

    def settings_of(self, task: str, rule: str) -> tuple[Job, Job, Job]:
        """Return the jobs, on any seed, that the table compares: at the rule's own rate, at RLOO's,
        at ten times its own. The second task takes over the first's rates and variants.
        """
        rloo = self.find_best(task, "RLOO")
        own = rloo if rule == "RLOO" else self.find_best(FIRST, rule)
        own = own._replace(task=task, base=rloo.base)
        return own, own._replace(rate=rloo.rate), own._replace(rate=10 * own.rate)

    def mean_end(self, rule: str) -> float:
        """Return the accuracy of a rule on the first task, at its own rate, over SEEDS."""
        runs = by_seed(self.results, self.settings_of(FIRST, rule)[0], SEEDS)
        return mean([run["last_fifth"] for run in runs.values()] or [0.0])


def is_current(job: Job, line: dict) -> bool:
    """Return whether a line of the record is of the constants of today."""
    try:
        return line["of"] == job.describe()
    except (KeyError, IndexError):  # a rule, a base or a variant that is gone
        return False
