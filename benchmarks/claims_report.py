"""Makes the table and the figures of claims.py from the metrics.jsonl of its runs.

Accuracy is that of sampled responses, before the filter, smoothed over a fifth of the iterations.
"""

import csv
import json
import math
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

_T95 = [12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14]
# Student's t at 97.5 %, by degrees of freedom from 1 on
_PHASES = ("generate", "verify", "prm", "policy")

_LEGEND = """\
Accuracy is that of sampled responses, in %, before the filter. "Last fifth" means the last fifth of
the iterations. Figures are means over seeds ± half the 95 % interval (Student); differences are
taken seed by seed. The baseline of an arm is the same arm without process rewards, or else RLOO.
A run that never reaches the baseline's last fifth counts with all its iterations.
The trend is the moving average of the accuracy over a fifth of the iterations. The deviation from
it is a root mean square. benchmarks/claims_arms.py defines the arms.
"""

Runs = dict[tuple[str, int], list[dict]]  # metrics of complete runs, by arm and seed


def find_folder(out: Path, arm: str, seed: int) -> Path:
    return out / f"{arm.replace(',', '').replace(' ', '-')}-{seed}"


def read_metrics(folder: Path) -> list[dict]:
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Part(NamedTuple):
    """Arms that share a folder, constants, seeds and a table."""

    folder: str  # inside the folder of all runs; its name on the command line
    title: str
    common: dict  # constants of every arm
    arms: dict[str, dict]  # constants of its own, by name of the arm
    seeds: list[int]
    iterations: int


def write_report(out: Path, parts: Sequence[Part]) -> str:
    """Write table.md and runs.csv of all parts, and claim-N.png of each; return the tables."""
    tables, lines = [_LEGEND], []
    for part in parts:
        folder = out / part.folder
        if runs := _read_runs(folder, part):
            tables.append(f"## {part.title}\n\n{tabulate(runs, part.arms)}")
            _draw(folder, runs)
            lines += [list_figures(part.folder, *key, metrics) for key, metrics in runs.items()]
    (out / "table.md").write_text("\n".join(tables))
    with (out / "runs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0] if lines else [])
        writer.writeheader()
        writer.writerows(lines)
    return "\n".join(tables)


def list_figures(part: str, arm: str, seed: int, metrics: list[dict]) -> dict:
    """Return the figures of one run, from which the table is computed."""
    figures = {
        "all_iterations": 100 * np.nanmean(accuracy(metrics)),
        "last_fifth": last(metrics),
        "held_out": 100 * metrics[-1]["eval_accuracy"],
        "deviation": deviation(metrics),
    }
    thirds = dict(
        zip(("prm_first", "prm_middle", "prm_last"), _thirds([metrics]) or [math.nan] * 3)
    )
    rounded = {name: f"{value:.2f}" for name, value in (figures | thirds).items()}
    return {"part": part, "arm": arm, "seed": seed, **rounded}


def _read_runs(folder: Path, part: Part) -> Runs:
    """Return the complete runs of a part's arms, on any seeds."""
    ends = {path.name.rpartition("-")[2] for path in folder.glob("*") if path.is_dir()}
    return {
        (arm, seed): metrics
        for arm in part.arms
        for seed in sorted(int(end) for end in ends if end.isdigit())
        if len(metrics := read_metrics(find_folder(folder, arm, seed))) == part.iterations
    }


def _draw(out: Path, runs: Runs) -> None:
    """Draw the figure of each claim that some of the runs belong to."""
    known = {arm for arm, _ in runs}
    for claim, (draw, title, arms) in _FIGURES.items():
        if there := [arm for arm in arms if arm in known]:
            draw(out / f"claim-{claim}.png", title, runs, there)


def tabulate(runs: Runs, arms: Collection[str]) -> str:
    """Return a Markdown table, one row per arm with runs: means over seeds and 95 % intervals, and
    differences, seed by seed, from PRIME and from the arm's baseline among all arms.
    """
    rows = [
        "| arm | seeds | accuracy, all iterations | last fifth | last fifth − baseline | "
        "last fifth − PRIME | greedy, held out | iterations to baseline's last fifth | "
        "PRM accuracy, first, middle and last third | deviation from trend | "
        "seconds per iteration |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for arm in dict.fromkeys(arm for arm, _ in runs):
        own = {seed: metrics for (name, seed), metrics in runs.items() if name == arm}
        base = baseline(arm, arms)
        cells = [arm, str(len(own))]
        cells.append(summarize([100 * np.nanmean(accuracy(m)) for m in own.values()]))
        cells.append(summarize([last(m) for m in own.values()]))
        for other in (base, "PRIME"):
            both = [seed for seed in own if (other, seed) in runs and other != arm]
            cells.append(summarize([last(own[seed]) - last(runs[other, seed]) for seed in both]))
        cells.append(summarize([100 * m[-1]["eval_accuracy"] for m in own.values()]))
        goals = {seed: last(runs[base, seed]) for seed in own if (base, seed) in runs}
        cells.append(summarize([reach(own[seed], goal) for seed, goal in goals.items()]))
        cells.append(" ".join(f"{third:.0f}" for third in _thirds(list(own.values()))) or "-")
        cells.append(summarize([deviation(m) for m in own.values()]))
        seconds = [np.median([line["seconds"] for line in m]) for m in own.values()]
        cells.append(f"{np.median(seconds):.2f}")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def baseline(arm: str, arms: Collection[str]) -> str:
    """Return the arm that is the same without process rewards; RLOO if there is none."""
    twin = re.sub(r" \+ process(.*?)(, process \d+)?$", r"\1", arm.replace("PRIME", "RLOO"))
    return twin if twin in arms and twin != arm else "RLOO"


def accuracy(metrics: list[dict], name: str = "train_accuracy") -> np.ndarray:
    """Return a metric by iteration, nan where an iteration has none."""
    return np.array([line[name] for line in metrics], dtype=float)


def smooth(curve: np.ndarray) -> np.ndarray:
    """Return the moving average over a window of a fifth of the values."""
    window = max(1, len(curve) // 5)
    return np.nanmean(np.lib.stride_tricks.sliding_window_view(curve, window), axis=1)


def last(metrics: list[dict]) -> float:
    """Return the accuracy of the last fifth of the iterations, in per cent."""
    return 100 * float(smooth(accuracy(metrics))[-1])


def deviation(metrics: list[dict]) -> float:
    """Return how far an iteration's accuracy is from the moving average around it, as the root of
    the mean square, in per cent (paper, Fig. 2).
    """
    curve = accuracy(metrics)
    trend = smooth(curve)
    first = (len(curve) - len(trend)) // 2
    residuals = curve[first : first + len(trend)] - trend
    return 100 * float(np.nanmean(residuals**2)) ** 0.5


def reach(metrics: list[dict], goal: float) -> float:
    """Return after how many iterations the smoothed accuracy reaches a goal in per cent; the
    number of all iterations if it never does.
    """
    smoothed = 100 * smooth(accuracy(metrics))
    there = np.flatnonzero(smoothed >= goal)
    return len(metrics) - len(smoothed) + 1 + there[0] if len(there) else len(metrics)


def summarize(values: Sequence[float]) -> str:
    """Return the mean over seeds and half the width of its 95 % interval (Student)."""
    if len(values) < 2:
        return f"{values[0]:.1f}" if len(values) else "-"
    return f"{np.mean(values):.1f} ± {half_width(values):.1f}"


def half_width(values: Sequence[float]) -> float:
    count = len(values)
    return _T95[min(count - 1, len(_T95)) - 1] * float(np.std(values, ddof=1)) / count**0.5


def _thirds(runs: list[list[dict]]) -> list[float]:
    """Return the PRM accuracy, in per cent, by third of the iterations; [] without a PRM."""
    curves = np.stack([accuracy(metrics, "prm_accuracy") for metrics in runs])
    if np.isnan(curves).all():
        return []
    return [100 * np.nanmean(part) for part in np.array_split(curves, 3, axis=1)]


def _draw_curves(path: Path, title: str, runs: Runs, arms: Sequence[str]) -> None:
    """Draw accuracy and PRM accuracy by iteration: means over seeds with 95 % intervals."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), constrained_layout=True)
    names = {"train_accuracy": "accuracy of sampled responses", "prm_accuracy": "PRM accuracy"}
    for axis, (name, label) in zip(axes, names.items()):
        for number, arm in enumerate(arms):
            own = [accuracy(metrics, name) for (known, _), metrics in runs.items() if known == arm]
            if np.isnan(own).all():
                continue
            curves = 100 * np.stack([smooth(curve) for curve in own])  # (seeds, iterations)
            iterations = np.arange(curves.shape[1]) + len(own[0]) - curves.shape[1] + 1
            mean = curves.mean(axis=0)
            axis.plot(iterations, mean, label=arm, color=f"C{number}")
            if len(own) > 1:
                width = np.array([half_width(column) for column in curves.T])
                axis.fill_between(
                    iterations, mean - width, mean + width, color=f"C{number}", alpha=0.15, lw=0
                )
        axis.set(xlabel="iteration", title=f"{label}, %")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False)
    figure.suptitle(title)
    _save(figure, path)


def _draw_bars(path: Path, title: str, runs: Runs, arms: Sequence[str]) -> None:
    """Draw the accuracy of the last iterations by arm: every seed, mean and 95 % interval."""
    figure, axis = plt.subplots(figsize=(6, 0.6 + 0.32 * len(arms)), constrained_layout=True)
    for row, arm in enumerate(arms):
        values = [last(metrics) for (name, _), metrics in runs.items() if name == arm]
        width = half_width(values) if len(values) > 1 else 0.0
        axis.plot(values, [row] * len(values), ".", color="0.7", zorder=0)
        axis.errorbar(np.mean(values), row, xerr=width, fmt="o", color=f"C{row == 0:d}", capsize=3)
    axis.set(yticks=range(len(arms)), yticklabels=arms, title=f"{title}: accuracy at the end, %")
    axis.invert_yaxis()
    axis.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _draw_seconds(path: Path, title: str, runs: Runs, arms: Sequence[str]) -> None:
    """Draw the seconds of an iteration by phase, medians over all iterations and seeds."""
    figure, axis = plt.subplots(figsize=(6, 0.9 + 0.4 * len(arms)), constrained_layout=True)
    for row, arm in enumerate(arms):
        lines = [line for (name, _), metrics in runs.items() if name == arm for line in metrics]
        left = 0.0
        for number, phase in enumerate(_PHASES):
            seconds = float(np.median([line.get(f"seconds_{phase}") or 0.0 for line in lines]))
            label = phase if row == 0 else None
            axis.barh(row, seconds, left=left, color=f"C{number}", label=label)
            left += seconds
    axis.set(yticks=range(len(arms)), yticklabels=arms, title=title)
    axis.invert_yaxis()
    axis.legend(frameon=False, ncols=len(_PHASES), loc="upper center", bbox_to_anchor=(0.5, -0.25))
    axis.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, dpi=110)
    plt.close(figure)


_FIGURES = {  # claim: how it is drawn, title, arms
    1: (_draw_curves, "PRIME and outcome-only RLOO", ["PRIME", "RLOO"]),
    2: (
        _draw_curves,
        "online, frozen and perfect PRM",
        ["PRIME", "RLOO", "frozen PRM", "oracle"],
    ),
    3: (
        _draw_bars,
        "variants of the process reward",
        [
            "PRIME",
            "RLOO",
            "update after",
            "reference policy",
            "scale none",
            "gamma 1",
            "PRIME, no whitening",
            "RLOO, no whitening",
            "process 0.5",
            "process 1",
            "process 2",
            "process 5",
            "one PRM step",
            "as published",
            "oracle, spread",
        ],
    ),
    4: (_draw_bars, "prompt filter", ["PRIME", "PRIME, no filter", "RLOO", "RLOO, no filter"]),
    5: (
        _draw_bars,
        "estimators",
        ["PRIME", "RLOO", "REINFORCE + process", "REINFORCE", "GRPO + process", "GRPO"],
    ),
    6: (_draw_seconds, "seconds per iteration", ["PRIME", "RLOO"]),
}
