"""The benchmark table: measured figures with intervals and differences, beside the published ones.

A measured cell reads `41.3 [37.0, 45.6] (+6.2)`: per cent, 95 % bootstrap interval over problems,
difference to the first measured model.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.intervals import Figure, bootstrap, error_by_problem, error_by_sample
from evaluation.metrics import ACCURACY
from evaluation.published import TABLES

AVERAGE = "Avg."
_ERRORS = {
    "standard error by problem": error_by_problem,
    "standard error by sample": error_by_sample,
}


@dataclass(frozen=True)
class Cell:
    """One figure of the table, in per cent; a part that does not exist is None."""

    metric: str
    benchmark: str
    model: str
    kind: str  # "measured", "published"
    value: float
    low: float | None = None
    high: float | None = None
    difference: float | None = None  # to the first measured model, in points
    difference_low: float | None = None
    difference_high: float | None = None
    problems: int | None = None


# metric -> benchmark -> model -> one value per problem, in [0, 1]
Values = dict[str, dict[str, dict[str, list[float]]]]
# benchmark -> model -> outcome rewards, K per problem
Rewards = dict[str, dict[str, list[list[float]]]]


def make_cells(
    values: Values, rewards: Rewards | None = None, published: Sequence[str] = ()
) -> list[Cell]:
    """Return all cells: measured ones, averages over benchmarks, and published ones beside them.

    Args:
        rewards: of several responses per problem; they give the standard errors of accuracies.
        published: names of published tables.
    """
    cells = []
    for metric, by_benchmark in values.items():
        first = {name: next(iter(by_model.values())) for name, by_model in by_benchmark.items()}
        for row, members in _list_rows(by_benchmark).items():
            baseline = [first[name] for name in members]
            for model in by_benchmark[members[0]]:
                own = [by_benchmark[name][model] for name in members]
                cells.append(_measured_cell(metric, row, model, own, baseline))
            if metric == ACCURACY:
                baseline_cell = cells[-len(by_benchmark[members[0]])]
                cells += _published_cells(row, members, baseline_cell, published)
        if metric == ACCURACY and rewards:
            cells += _error_cells(rewards)
    return cells


def describe_differences(cells: Sequence[Cell]) -> list[str]:
    """Return a line for each measured difference of accuracies: is the model told apart?

    It is where the interval of the difference, by bootstrap over the same problems, leaves out 0.
    """
    lines = []
    for cell in cells:
        if cell.metric == ACCURACY and cell.difference_low is not None:
            interval = f"[{cell.difference_low:+.1f}, {cell.difference_high:+.1f}]"
            line = f"{cell.model}, {cell.benchmark}: {cell.difference:+.1f} {interval}"
            holds_zero = cell.difference_low <= 0 <= cell.difference_high
            lines.append(line + (", not told apart." if holds_zero else "."))
    return lines


def write_markdown(cells: Sequence[Cell], notes: Sequence[str]) -> str:
    """Return the table (a row per benchmark and metric, a column per model), then the notes."""
    suffix = {"measured": "", "published": " (published)"}
    places = [column for table in TABLES.values() for column in table.figures]
    columns = list(dict.fromkeys((cell.model, cell.kind) for cell in cells))
    # Not in the order of the cells: the first row may be one that only a later table has.
    columns.sort(key=lambda own: places.index(own[0]) if own[1] == "published" else -1)
    heads = [_escape(model) + suffix[kind] for model, kind in columns]
    lines = ["| % | " + " | ".join(heads) + " |", "|---" * (len(columns) + 1) + "|"]
    for metric, benchmark in dict.fromkeys((cell.metric, cell.benchmark) for cell in cells):
        own = [c for c in cells if (c.metric, c.benchmark) == (metric, benchmark)]
        by_column = {(cell.model, cell.kind): cell for cell in own}
        texts = [_write_cell(by_column.get(column)) for column in columns]
        label = benchmark if metric == ACCURACY else f"{benchmark}, {metric}"
        lines.append(f"| {_escape(label)} | " + " | ".join(texts) + " |")
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)]) + "\n"


def write_csv(cells: Sequence[Cell]) -> str:
    """Return the cells as CSV, one line per cell, in per cent and points."""
    text = io.StringIO()
    names = list(Cell.__dataclass_fields__)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for cell in cells:
        values = [getattr(cell, name) for name in names]
        writer.writerow([round(v, 4) if isinstance(v, float) else v for v in values])
    return text.getvalue()


def _list_rows(benchmarks: Iterable[str]) -> dict[str, list[str]]:
    """Return the benchmarks of each row: one, or all of them in the row of averages."""
    rows = {name: [name] for name in benchmarks}
    if len(rows) > 1:
        rows[AVERAGE] = list(rows)
    return rows


def _measured_cell(
    metric: str, row: str, model: str, own: list[list[float]], baseline: list[list[float]]
) -> Cell:
    """Return the mean over some benchmarks' problems, and the paired difference to a baseline."""
    figure = bootstrap(own)
    difference: Figure | None = None
    if own is not baseline and any(a is not b for a, b in zip(own, baseline)):
        pairs = [np.subtract(a, b).tolist() for a, b in zip(own, baseline)]
        difference = bootstrap(pairs)
    return Cell(
        metric,
        row,
        model,
        "measured",
        *(100 * value for value in (figure.value, figure.low, figure.high)),
        *(
            100 * value
            for value in ((difference.value, difference.low, difference.high) if difference else ())
        ),
        problems=sum(map(len, own)),
    )


def _error_cells(rewards: Rewards) -> list[Cell]:
    """Return the standard errors of the accuracies, in points."""
    cells = []
    for metric, compute_error in _ERRORS.items():
        for row, members in _list_rows(rewards).items():
            for model in rewards[members[0]]:
                own = [rewards[name][model] for name in members]
                error, problems = 100 * compute_error(own), sum(map(len, own))
                cells.append(Cell(metric, row, model, "measured", error, problems=problems))
    return cells


def _published_cells(
    row: str, members: list[str], baseline: Cell, published: Sequence[str]
) -> list[Cell]:
    """Return the published figures of a row; of an average only if it covers the same sets."""
    cells = []
    for name in published:
        printed = TABLES[name]
        if row == AVERAGE and set(members) != set(printed.benchmarks):
            continue
        for model, figures in printed.figures.items():
            value = dict(zip((*printed.benchmarks, AVERAGE), figures)).get(row)
            if value is not None:
                difference = value - baseline.value
                cell = Cell(ACCURACY, row, model, "published", value, difference=difference)
                cells.append(cell)
    return cells


def _write_cell(cell: Cell | None) -> str:
    if cell is None:
        return ""
    text = f"{cell.value:.1f}"
    if cell.low is not None:
        text += f" [{cell.low:.1f}, {cell.high:.1f}]"
    if cell.difference is not None:
        text += f" ({cell.difference:+.1f})"
    return text


def _escape(text: str) -> str:
    return text.replace("|", "\\|")
