"""Draws the metrics of one or several runs by iteration, as one figure 800 pixels wide."""

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from checks.files import writing

Metrics = Sequence[dict]  # the lines of a run's metrics.jsonl

_PHASES = {  # key of metrics.jsonl: its name in the figure
    "seconds_generate": "generate",
    "seconds_verify": "verify",
    "seconds_prm": "PRM",
    "seconds_value": "value",
    "seconds_policy": "policy",
    "seconds_evaluate": "evaluate",
}
_FUNCTION = "reward_"  # before the name of a function that VERIFIERS weighs
_COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]  # Okabe and Ito
_LEGEND_COLUMNS = 3  # of the runs' names
_LINES = ["-", "--", ":"]  # styles of the first, second and third metric of a panel


def draw_curves(runs: dict[str, Metrics], path: Path) -> None:
    """Draw metrics by iteration into a PNG file; each of several runs has its own colour.

    Args:
        runs: metrics by name of the run, at least one line each.

    Raises:
        UserError: the file cannot be written.
    """
    keys = dict.fromkeys(key for lines in runs.values() for line in lines for key in line)
    functions = {key: key.removeprefix(_FUNCTION) for key in keys if key.startswith(_FUNCTION)}
    rows = 6 if functions else 5
    legend_rows = math.ceil(len(runs) / _LEGEND_COLUMNS) if len(runs) > 1 else 0
    height = 2.5 * rows + 0.25 * legend_rows  # inches
    figure = Figure(figsize=(8, height), dpi=100)
    figure.subplots_adjust(  # matplotlib's own layouts take as long as the drawing
        left=0.09,
        right=0.98,
        bottom=0.3 / height,
        top=1 - (0.3 + 0.25 * legend_rows) / height,
        wspace=0.24,
        hspace=0.3,
    )
    panels = figure.subplots(rows, 2).ravel()
    _draw(panels[0], runs, "accuracy", "%", train_accuracy="sampled", eval_accuracy="held-out")
    _draw(panels[1], runs, "prompts that pass the filter", "%", kept_fraction="kept")
    _draw(panels[2], runs, "PRM: pairs ranked right", "%", prm_accuracy="PRM")
    _draw(panels[3], runs, "PRM: loss", "nats", prm_loss="PRM")
    _draw(panels[4], runs, "policy: entropy of a token", "nats", entropy="entropy")
    _draw(panels[5], runs, "length of a response", "tokens", response_tokens="tokens")
    panel = panels[6]
    scales = {"process_return_largest": "largest return", "process_reward_mean": "mean reward"}
    _draw(panel, runs, "process rewards", "beta x nats", **scales)
    panel.set_yscale("symlog", linthresh=1e-3)
    title, kls = "policy: KL from its sampler", {"sampler_kl": "sampler"}
    if any(line.get("reference_kl") is not None for lines in runs.values() for line in lines):
        title, kls = "policy: KL from sampler and MODEL", {**kls, "reference_kl": "MODEL"}
    _draw(panels[7], runs, title, "nats", **kls)
    panels[7].ticklabel_format(axis="y", scilimits=(-3, 4))
    _draw(panels[8], runs, "tokens with a capped weight", "%", capped_fraction="capped")
    _draw_seconds(panels[9], runs)
    if functions:
        _draw(panels[10], runs, "rewards of each function", "mean", **functions)
        figure.delaxes(panels[11])
    for panel in panels:
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=8)
    if len(runs) > 1:
        handles = [panels[0].plot([], [], color=color)[0] for _, color in zip(runs, _cycle(runs))]
        labels = [_plain(name) for name in runs]
        figure.legend(handles, labels, loc="upper center", ncols=_LEGEND_COLUMNS)
    with writing(path):
        figure.savefig(path, format="png")


def _draw(panel: Axes, runs: dict[str, Metrics], title: str, unit: str, **metrics: str) -> None:
    """Draw some metrics of every run into a panel; metrics maps keys of metrics.jsonl to labels."""
    scale = 100 if unit == "%" else 1
    labelled: set[str] = set()  # once for all runs
    for lines, color in zip(runs.values(), _cycle(runs)):
        for number, (key, label) in enumerate(metrics.items()):
            points = [point for line in lines for point in _points(line, key)]
            if points:
                own = _COLORS[number % len(_COLORS)] if len(runs) == 1 else color
                mark = "o" if key == "eval_accuracy" else "." if len(points) == 1 else ""
                xs, ys = [x for x, _ in points], [scale * y for _, y in points]
                style = dict(
                    color=own, linestyle=_LINES[number % len(_LINES)], marker=mark, markersize=4
                )
                panel.plot(xs, ys, label=None if label in labelled else label, **style)
                labelled.add(label)
    panel.set_title(title, fontsize=10)
    panel.set_ylabel(unit, fontsize=8)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    if unit == "%":
        panel.set_ylim(-3, 103)
    if len(metrics) > 1 and panel.get_legend_handles_labels()[0]:
        panel.legend(fontsize=8, frameon=False)


def _points(line: dict, key: str) -> list[tuple[float, float]]:
    """Return the points of a metrics line on a curve; the last line of a run may have two."""
    points = []
    if key == "eval_accuracy" and line.get("eval_accuracy_before") is not None:
        points.append((line["iteration"], line["eval_accuracy_before"]))
        points.append((line["iteration"] + 1, line["eval_accuracy"]))
    elif line.get(key) is not None and math.isfinite(line[key]):
        points.append((line["iteration"], line[key]))
    return points


def _draw_seconds(panel: Axes, runs: dict[str, Metrics]) -> None:
    """Draw the seconds by phase: one run by iteration, several runs by their means."""
    if len(runs) == 1:
        [lines] = runs.values()
        iterations = [line["iteration"] for line in lines]
        seconds = [[line.get(phase) or 0.0 for line in lines] for phase in _PHASES]
        panel.stackplot(iterations, seconds, labels=_PHASES.values(), colors=_COLORS, alpha=0.8)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        done = [0.0] * len(runs)
        for phase, color in zip(_PHASES, _COLORS):
            means = [
                sum(line.get(phase) or 0.0 for line in lines) / len(lines)
                for lines in runs.values()
            ]
            style = dict(color=color, alpha=0.6, label=_PHASES[phase])
            panel.barh(range(len(runs)), means, left=done, **style)
            done = [a + b for a, b in zip(done, means)]
        panel.set_yticks(range(len(runs)), [_plain(name) for name in runs], ha="left")
        panel.tick_params(axis="y", pad=-6)  # names stand on the bars
        panel.set_ylim(len(runs) - 0.5, -0.5 - 0.4 * len(runs))  # the legend has the top
    panel.set_title("seconds per iteration", fontsize=10)
    panel.legend(fontsize=7, frameon=False, ncols=3, loc="upper left")


def _cycle(runs: dict[str, Metrics]) -> list[str]:
    return [_COLORS[number % len(_COLORS)] for number in range(len(runs))]


def _plain(name: str) -> str:
    """Return a name, escaped so that matplotlib reads no part of it as a formula."""
    return name.replace("$", r"\$")
