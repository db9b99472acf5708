"""The bench of credit rules: `python benchmarks/credit_rules.py [--quick]`.

Does any use of a process reward model beat outcome-only RLOO where RLOO is at its best? On one seed
RLOO and the oracle try four learning rates of the policy. RLOO then tries, at the best of them,
what else may help it (BASES); the best three run on two more trial seeds, and the best mean is its
setting. All rules take over its base. The others try RLOO's rate and its two neighbours, then two
variants at the best of these: five runs, RLOO fourteen, and one more for each rate beyond while the
last is best. The best setting runs on five other seeds, at its own rate and at RLOO's.

The best rule that needs a reward model and nothing else runs again on five fresh seeds, for an
interval that its choice has not touched. On the second task it and the main rules run as the first
has chosen them, at its rate and at RLOO's there. So nothing is chosen there but RLOO's setting.

Every complete run leaves a line in results.jsonl and is not repeated while its constants stay.
--quick compares the main rules on two seeds. It tries only settings that the record of this
repository, docs/credit-rules.jsonl, does not have. To add a rule, write a pure function in
rules.py, a line in rules_run.py that calls it, and a line in credit_arms.py.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from credit_arms import ERRING, RULES, WEIGHTS
from credit_bench import FIRST, FRESH, ROOT, SECOND, SEEDS, TRIAL_SEED, Bench, Job
from credit_rules_report import draw, list_trials, tabulate

RECORD = ROOT / "docs/credit-rules.jsonl"
CANDIDATES = ("hard", "walk", "exam")  # among which the search looks
FLIPPED = (0.05, 0.1, 0.2, 0.3, 0.5)
WATCHED = "RLOO, PRM beside"
COMPARED = [rule for rule in RULES if rule == "oracle" or rule not in (*ERRING, WATCHED)]
MAIN = ("RLOO", "PRIME", "oracle")  # in the figure, and those of --quick


def search(bench: Bench, rules: Sequence[str]) -> None:
    """Look for a task with headroom: RLOO and the oracle, each at its best; on other seeds too."""
    for task in CANDIDATES:
        bench.choose(task, ["oracle"])
    best = [bench.find_best(task, rule) for task in (FIRST, SECOND) for rule in ("RLOO", "oracle")]
    bench.run([job._replace(seed=seed) for job in best for seed in SEEDS])


def compare(bench: Bench, rules: Sequence[str]) -> None:
    """Choose each rule's setting on the first task; run it on other seeds there, the best on fresh
    ones, and the main rules and the best on the second task.
    """
    bench.choose(FIRST, rules)
    bench.choose(SECOND, [])
    confirm(bench, rules, FIRST)
    winner = find_winner(bench)
    confirm(bench, winner, FIRST, FRESH)
    confirm(bench, [rule for rule in rules if rule in MAIN] + winner, SECOND)


def find_winner(bench: Bench) -> list[str]:
    """Return the best rule of those that need a PRM and nothing else, as far as they have run."""
    own = [rule for rule in COMPARED if RULES[rule].own.get("source", "prm") == "prm"]
    known = {job.rule for job in bench.results if job.task == FIRST and job.seed in SEEDS}
    ends = {rule: bench.mean_end(rule) for rule in own if rule in known}
    return [max(ends, key=ends.get)] if ends else []


def watch(bench: Bench, rules: Sequence[str]) -> None:
    """Run RLOO with a PRM beside it, of different settings, for what it learns."""
    bench.choose(FIRST, [])
    best = bench.find_best(FIRST, "RLOO")._replace(rule=WATCHED)
    bench.run([best._replace(variant=n) for n in range(len(RULES[WATCHED].variants) + 1)])


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


PARTS = {
    "search": search,
    "watched": watch,
    "compare": compare,
    "unstable": go_wild,
    "flipped": flip,
}


def report(bench: Bench) -> str:
    """Write table.md and credit-rules.png; return the tables."""
    results, tables = bench.results, []
    known = {job[:2] for job in results if job.seed == TRIAL_SEED}
    rules = [rule for rule in COMPARED if (FIRST, rule) in known]
    for task in [task for task in (FIRST, SECOND) if {(FIRST, "RLOO"), (task, "RLOO")} <= known]:
        compared = {rule: bench.settings_of(task, rule) for rule in rules}
        tables.append(f"## {task}\n\n{tabulate(results, compared, SEEDS)}")
    if {(FIRST, seed) for seed in FRESH} & {(job.task, job.seed) for job in results}:
        again = {rule: bench.settings_of(FIRST, rule) for rule in ("RLOO", *find_winner(bench))}
        tables.append(f"## {FIRST}, fresh seeds\n\n{tabulate(results, again, FRESH)}")
    tables.append(f"## Trials, seed {TRIAL_SEED}\n\n{list_trials(results, TRIAL_SEED)}")
    if "RLOO" in rules:
        arms = [bench.settings_of(FIRST, rule)[0] for rule in MAIN if rule in rules]
        flips = find_flips(bench) if "oracle" in rules else {}
        draw(bench.out / "credit-rules.png", results, arms, flips, SEEDS)
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
