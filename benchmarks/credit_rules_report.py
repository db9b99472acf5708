"""The record, the table and the figure of credit_rules.py.

Accuracy is the mean outcome reward of sampled responses, before the filter, smoothed over a fifth
of the iterations, in per cent. Seconds are CPU seconds of a run, which
uses one core; the verifier has its own.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from claims_report import accuracy, half_width, smooth, summarize

matplotlib.use("Agg")
import matplotlib.pyplot as plt

Results = dict[tuple, dict]  # by the fields of a job: what summarize_run() says of it

_POINTS = 65  # of a curve
_MOMENTS = (10, 40)  # iterations around which steps are looked at; and the end
_AROUND = 5  # iterations on either side
_UNSTABLE = 10.0  # points that the end lies below the start or the best stretch
_START = 4  # iterations


def summarize_run(metrics: list[dict], iterations: int) -> dict:
    """Return what the table and the figure need of a run, which may have ended too soon."""
    accuracies = np.append(accuracy(metrics), np.zeros(iterations - len(metrics)))
    curve = 100 * smooth(accuracies)
    seconds = [line["cpu_seconds"] for line in metrics if line.get("cpu_seconds")]
    places = np.linspace(0, len(curve) - 1, min(_POINTS, len(curve))).round().astype(int)
    steps = {}
    for name in ("step_auc", "first_wrong_found", "prm_accuracy"):
        values = np.array([line.get(name) for line in metrics], dtype=float)
        spans = [values[max(0, n - _AROUND) : n + _AROUND] for n in (*_MOMENTS, len(values))]
        steps[name] = [None if np.isnan(v).all() else round(float(np.nanmean(v)), 4) for v in spans]
    return {
        "iterations": iterations,
        "ended": len(metrics),
        "last_fifth": round(float(curve[-1]), 3),
        "best_stretch": round(float(np.nanmax(curve)), 3),
        "start": round(100 * float(np.nanmean(accuracies[:_START])), 3),
        "all": round(100 * float(np.nanmean(accuracies)), 3),
        "seconds": round(float(np.median(seconds)), 3) if seconds else None,
        "curve": [round(float(curve[place]), 2) for place in places],
        **steps,
    }


def read_results(path: Path, make_key: type) -> Results:
    """Return the lines of results.jsonl, by job."""
    lines = path.read_text().splitlines() if path.exists() else []
    results = {}
    for line in map(json.loads, lines):
        key = make_key(**{name: line[name] for name in make_key._fields})
        results[key] = line
    return results


def tabulate(results: Results, confirmed: dict[str, tuple], seeds: Sequence[int]) -> str:
    """Return a Markdown table of the runs on these seeds, a row for each rule, RLOO first.

    Args:
        confirmed: for each rule, jobs of its best setting without seeds: at its own rate, at RLOO's
            best rate, at ten times its own. RLOO is the first.
    """
    heads = [
        "rule",
        "rate",
        "last fifth",
        "− RLOO",
        "last fifth at RLOO's rate",
        "− RLOO",
        "iterations to RLOO's end",
        "seconds to it, of RLOO's",
        "PRM accuracy",
        "step AUC",
        "first wrong step found",
        "unstable at ten times the rate",
    ]
    rows = [heads, ["---"] * len(heads)]
    rloo = by_seed(results, next(iter(confirmed.values()))[0], seeds)
    for rule, (own_rate, rloo_rate, tenfold) in confirmed.items():
        own, same, wild = (by_seed(results, job, seeds) for job in (own_rate, rloo_rate, tenfold))
        if not own:
            continue
        cells = [rule, f"{own_rate.rate:g}", summarize([run["last_fifth"] for run in own.values()])]
        cells.append("-" if own_rate.rule == "RLOO" else compare(own, rloo))
        cells.append(summarize([run["last_fifth"] for run in same.values()]))
        cells.append("-" if own_rate.rule == "RLOO" else compare(same, rloo))
        iterations, shares, missed = [], [], 0
        for seed in own.keys() & rloo.keys():
            run, goal = own[seed], rloo[seed]
            needed, its_own = (reach(one, goal["last_fifth"]) for one in (run, goal))
            missed += needed is None
            iterations.append(needed or run["iterations"])  # at least
            if run["seconds"] and goal["seconds"]:
                shares.append(iterations[-1] * run["seconds"] / (its_own * goal["seconds"]))
        cells.append(summarize(iterations) + f" ({missed} never)" * bool(missed))
        cells.append(summarize(shares) if own_rate.rule != "RLOO" else "1")
        for name in ("prm_accuracy", "step_auc", "first_wrong_found"):
            moments = zip(*(run[name] for run in own.values()))
            means = [[v for v in moment if v is not None] for moment in moments]
            cells.append(" ".join(f"{100 * np.mean(m):.0f}" if m else "-" for m in means))
        unstable = [
            run["last_fifth"] < max(run["best_stretch"], run.get("start", 0)) - _UNSTABLE
            for run in wild.values()
        ]
        cells.append(f"{sum(unstable)} of {len(unstable)}" if unstable else "")
        rows.append(cells)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def list_trials(results: Results, seed: int) -> str:
    """Return a Markdown table of all runs on the trial seed, the best of a rule first."""
    heads = ["task", "rule", "base", "variant", "rate", "flipped", "last fifth", "all iterations"]
    rows = [heads, ["---"] * len(heads)]
    tried = [job for job in results if job.seed == seed]
    for job in sorted(tried, key=lambda job: (*job[:2], -results[job]["last_fifth"])):
        run = results[job]
        figures = [f"{run['last_fifth']:.1f}", f"{run['all']:.1f}"]
        own = [job.task, job.rule, str(job.base), str(job.variant), f"{job.rate:g}"]
        rows.append([*own, f"{job.flipped:g}", *figures])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def draw(
    path: Path,
    results: Results,
    arms: Sequence[tuple],
    flips: dict[str, dict[float, tuple]],
    seeds: Sequence[int],
) -> None:
    """Draw accuracy by iteration, and by the share of an oracle's verdicts that are wrong.

    Args:
        arms: jobs, of which all seeds are drawn together; RLOO's is the first.
        flips: jobs by what it errs on and by that share.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), constrained_layout=True)
    for number, job in enumerate(arms):
        runs = list(by_seed(results, job, seeds).values())
        if not runs:
            continue
        total, curves = runs[0]["iterations"], np.array([run["curve"] for run in runs])
        iterations = np.linspace(max(1, total // 5), total, curves.shape[1])
        label = f"{job.rule}, {job.rate:g}"
        left.plot(iterations, curves.mean(axis=0), label=label, color=f"C{number}")
        if len(runs) > 1:
            width = np.array([half_width(column) for column in curves.T])
            ends = curves.mean(axis=0) - width, curves.mean(axis=0) + width
            left.fill_between(iterations, *ends, color=f"C{number}", alpha=0.15, lw=0)
    left.set(xlabel="iteration", title="accuracy of sampled responses, %")
    left.legend(frameon=False)
    for number, (name, jobs) in enumerate(flips.items()):
        ends = {
            100 * share: [run["last_fifth"] for run in by_seed(results, job, seeds).values()]
            for share, job in jobs.items()
        }
        there = {share: values for share, values in ends.items() if len(values) > 1}
        means, widths = map(np.mean, there.values()), map(half_width, there.values())
        style = dict(fmt="o-", capsize=3, color=f"C{2 + number}", label=f"wrong {name}")
        if there:
            right.errorbar(list(there), list(means), yerr=list(widths), **style)
    if len(rloo := [run["last_fifth"] for run in by_seed(results, arms[0], seeds).values()]) > 1:
        mean, width = np.mean(rloo), half_width(rloo)
        right.axhline(mean, color="C0", label="RLOO")
        right.axhspan(mean - width, mean + width, color="C0", alpha=0.15, lw=0)
    right.set(xlabel="wrong verdicts of an oracle, %", title="accuracy at the end, %")
    right.legend(frameon=False)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def by_seed(results: Results, job: tuple, seeds: Sequence[int]) -> dict[int, dict]:
    """Return a job's runs on these seeds."""
    jobs = {seed: job._replace(seed=seed) for seed in seeds}
    return {seed: results[job] for seed, job in jobs.items() if job in results}


def compare(runs: dict[int, dict], others: dict[int, dict]) -> str:
    """Return the difference of the last fifth, seed by seed, with its 95 % interval."""
    return summarize(
        [run["last_fifth"] - others[s]["last_fifth"] for s, run in runs.items() if s in others]
    )


def reach(run: dict, goal: float) -> float | None:
    """Return after how many iterations the smoothed accuracy reaches a goal; None if never."""
    curve, total = np.array(run["curve"]), run["iterations"]
    there, window = np.flatnonzero(curve >= goal - 0.01), max(1, total // 5)
    if not len(there):
        return None
    return window + round(there[0] * (total - window) / max(1, len(curve) - 1))
