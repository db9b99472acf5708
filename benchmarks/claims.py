"""Does PRIME pay? The paper's claims on the embedded task: `python benchmarks/claims.py [--quick]`.

Every arm is train_prime.py with some constants of its own, from the same SFT model, on the same
seeds, with the same number of iterations. Runs go two at a time, each on a core; what was stopped
goes on, and what is there is not run again. Afterwards the table and the figures are written from
whatever runs are complete.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
ARMS = {  # name: constants that differ from the embedded default
    "PRIME": {},
    "RLOO": {"PROCESS_COEF": 0},
    "frozen PRM": {"PRM_UPDATE": "none", "PRM_MODEL": "{offline}"},
    "oracle": {"PRM_UPDATE": "none"},  # by claims_run.py
    "update before": {"PRM_UPDATE": "before"},
    "reference policy": {"PRM_REFERENCE": "policy"},
    "response rewards": {"PROCESS_GRANULARITY": "response"},
    "scale none": {"PROCESS_SCALE": "none"},
    "no whitening": {"WHITEN": False},
    "process 0.5": {"PROCESS_COEF": 0.5},
    "process 2": {"PROCESS_COEF": 2.0},
    "process 5": {"PROCESS_COEF": 5.0},
    "no filter": {"ACCURACY_LOW": 0.0, "ACCURACY_HIGH": 1.0},
    "REINFORCE + process": {"ADVANTAGE_ESTIMATOR": "reinforce"},
    "REINFORCE": {"ADVANTAGE_ESTIMATOR": "reinforce", "PROCESS_COEF": 0},
    "GRPO + process": {"ADVANTAGE_ESTIMATOR": "grpo"},
    "GRPO": {"ADVANTAGE_ESTIMATOR": "grpo", "PROCESS_COEF": 0},
}
QUICK = ("PRIME", "RLOO", "frozen PRM", "oracle")
OFFLINE = {"POLICY_LR": 0.0, "NUM_ITERATIONS": 20, "EVAL_DATA": None}  # trains the PRM alone
_WINDOW = 5  # iterations that a smoothed accuracy is the mean of
_T95 = {2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}  # Student, by df


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="claims 1 and 2, fewer seeds, shorter")
    parser.add_argument("--arms", nargs="*", default=None, help="only these")
    parser.add_argument("--seeds", type=int, nargs="*", default=None)
    parser.add_argument("--iterations", type=int, default=None)
    parser.add_argument("--out", type=Path, default=None, help="folder of the runs")
    arguments = parser.parse_args()
    arms = arguments.arms or list(QUICK if arguments.quick else ARMS)
    seeds = arguments.seeds or list(range(100, 103 if arguments.quick else 105))
    iterations = arguments.iterations or (30 if arguments.quick else 80)
    out = (arguments.out or Path("runs") / f"claims-{iterations}").resolve()
    jobs = [(arm, seed) for seed in seeds for arm in arms]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        if "frozen PRM" in arms:
            list(pool.map(lambda seed: run(out, "offline PRM", seed, OFFLINE), seeds))
        list(pool.map(lambda job: run_arm(out, *job, iterations), jobs))
    text = tabulate(out, arms, seeds)
    (out / "table.md").write_text(text)
    print(text)
    draw(out, arms, seeds)


def run_arm(out: Path, arm: str, seed: int, iterations: int) -> None:
    offline = str(folder(out, "offline PRM", seed) / "prm")
    constants = {
        name: value.format(offline=offline) if isinstance(value, str) else value
        for name, value in ARMS[arm].items()
    }
    run(out, arm, seed, {**constants, "NUM_ITERATIONS": iterations})


def folder(out: Path, arm: str, seed: int) -> Path:
    return out / f"{arm.replace(' ', '-')}-{seed}"


def run(out: Path, arm: str, seed: int, constants: dict) -> None:
    """Run an arm on a seed, or the rest of it."""
    own = folder(out, arm, seed)
    if len(read_metrics(own)) >= constants["NUM_ITERATIONS"]:
        return
    script = "benchmarks/claims_run.py" if arm == "oracle" else "train_prime.py"
    settings = {"RUN_NAME": own.name, "OUTPUT_DIR": str(out), "SEED": seed, "CPU_THREADS": 1}
    settings |= {"VERIFIER_WORKERS": 1, "REPORT_EVERY": 10**6, **constants}
    command = [sys.executable, script, *(f"{name}={value}" for name, value in settings.items())]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    out.mkdir(parents=True, exist_ok=True)
    with (out / f"{own.name}.log").open("a") as log:
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    said = "done" if done.returncode == 0 else f"FAILED, see {own}.log"
    print(f"{own.name}: {said}", flush=True)


def read_metrics(own: Path) -> list[dict]:
    path = own / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def read_curve(out: Path, arm: str, seed: int, name: str) -> np.ndarray | None:
    """Return a metric by iteration, None where a run is not there."""
    metrics = read_metrics(folder(out, arm, seed))
    return np.array([line[name] for line in metrics], dtype=float) if metrics else None


def smooth(curve: np.ndarray) -> np.ndarray:
    """Return means over the last _WINDOW values up to each, from the first full window on."""
    return np.convolve(curve, np.ones(_WINDOW) / _WINDOW, "valid")


def summarize(values: Sequence[float]) -> str:
    """Return mean and half-width of the 95 % interval (Student) over seeds; nan if any is."""
    values = np.asarray(values, dtype=float)
    if np.isnan(values).any():
        return "not all"
    if len(values) < 2:
        return f"{values.mean():.1f}" if len(values) else "-"
    width = _T95.get(len(values) - 1, 12.7) * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():.1f} ± {width:.1f}"


def tabulate(out: Path, arms: Sequence[str], seeds: Sequence[int]) -> str:
    """Return a table: a row an arm, means over seeds, and differences to RLOO seed by seed."""
    rows = [
        "| arm | seeds | sampled accuracy, mean of all iterations | last five | last five − RLOO | "
        "greedy, held out | iterations to RLOO's last five | PRM accuracy, last five | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for arm in arms:
        known = [s for s in seeds if read_metrics(folder(out, arm, s))]
        columns: dict[str, list[float]] = {
            name: [] for name in "mean last gain held reach prm s".split()
        }
        for seed in known:
            curve = 100 * read_curve(out, arm, seed, "train_accuracy")
            columns["mean"].append(curve.mean())
            columns["last"].append(curve[-_WINDOW:].mean())
            metrics = read_metrics(folder(out, arm, seed))
            columns["held"].append(100 * (metrics[-1]["eval_accuracy"] or float("nan")))
            columns["s"].append(np.median([line["seconds"] for line in metrics]))
            prm = read_curve(out, arm, seed, "prm_accuracy")[-_WINDOW:]
            if not np.isnan(prm).all():
                columns["prm"].append(100 * np.nanmean(prm))
            other = read_curve(out, "RLOO", seed, "train_accuracy")
            if other is not None and len(other) == len(curve):
                goal = 100 * other[-_WINDOW:].mean()
                columns["gain"].append(columns["last"][-1] - goal)
                reached = np.flatnonzero(smooth(curve) >= goal)
                columns["reach"].append(reached[0] + _WINDOW if len(reached) else float("nan"))
        cells = [summarize(columns[name]) for name in columns]
        rows.append(f"| {arm} | {len(known)} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def draw(out: Path, arms: Sequence[str], seeds: Sequence[int]) -> None:
    """Draw accuracy and PRM accuracy by iteration, means over seeds with the range of them."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    titles = {"train_accuracy": "accuracy of sampled responses", "prm_accuracy": "PRM accuracy"}
    for axis, (name, title) in zip(axes, titles.items()):
        for arm in arms:
            curves = [read_curve(out, arm, seed, name) for seed in seeds]
            curves = [smooth(curve) for curve in curves if curve is not None]
            if not curves or np.isnan(curves[0]).all():
                continue
            length = min(map(len, curves))
            values = np.stack([curve[:length] for curve in curves])
            iterations, color = np.arange(length) + _WINDOW, f"C{list(arms).index(arm)}"
            axis.plot(iterations, values.mean(axis=0), label=arm, color=color)
            low, high = values.min(axis=0), values.max(axis=0)
            axis.fill_between(iterations, low, high, color=color, alpha=0.15)
        axis.set_xlabel("iteration")
        axis.set_title(title)
    axes[0].legend(frameon=False)
    figure.savefig(out / "claims.png", dpi=120)


if __name__ == "__main__":
    main()
