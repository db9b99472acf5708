"""The benchmark table: measured figures with intervals and differences, beside the published ones.

A measured cell reads `41.3 [37.0, 45.6] (+6.2)`: per cent, 95 % bootstrap interval over problems,
difference to the first measured model.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.intervals import Figure, bootstrap
from evaluation.metrics import ACCURACY

AVERAGE = "Avg."

# Model card of PRIME-RL/Eurus-2-7B-PRIME, per cent, greedy. The averages are as printed there;
# the last two are not the means of the figures before them (35.7 and 42.3).
PUBLISHED = {
    "Eurus-2-7B-PRIME": (23.3, 77.2, 55.4, 39.3, 39.3, 46.9),
    "Eurus-2-7B-PRIME, step 272": (26.7, 79.2, 57.8, 38.6, 42.1, 48.9),
    "Eurus-2-7B-SFT": (3.3, 65.1, 30.1, 32.7, 29.8, 32.2),
    "Qwen-2.5-Math-7B-Instruct": (13.3, 79.8, 50.6, 34.6, 40.7, 43.8),
    "Llama-3.1-70B-Instruct": (16.7, 64.6, 30.1, 35.3, 31.9, 36.4),
    "GPT-4o": (9.3, 76.4, 45.8, 36.8, 43.3, 43.3),
}
PUBLISHED_BENCHMARKS = ("AIME 2024", "MATH-500", "AMC", "Minerva Math", "OlympiadBench")
_PUBLISHED_ROWS = (*PUBLISHED_BENCHMARKS, AVERAGE)


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


def make_cells(values: Values) -> list[Cell]:
    """Return all cells: measured ones, averages over benchmarks, and published ones beside them."""
    cells = []
    for metric, by_benchmark in values.items():
        first = {name: next(iter(by_model.values())) for name, by_model in by_benchmark.items()}
        rows = {name: [name] for name in by_benchmark}
        if len(by_benchmark) > 1:
            rows[AVERAGE] = list(by_benchmark)
        for row, members in rows.items():
            baseline = [first[name] for name in members]
            for model in by_benchmark[members[0]]:
                own = [by_benchmark[name][model] for name in members]
                cells.append(_measured_cell(metric, row, model, own, baseline))
            if metric == ACCURACY:
                cells += _published_cells(row, members, cells[-len(by_benchmark[members[0]])])
    return cells


def write_markdown(cells: Sequence[Cell], notes: Sequence[str]) -> str:
    """Return the table (a row per benchmark and metric, a column per model), then the notes."""
    suffix = {"measured": "", "published": " (published)"}
    columns = list(dict.fromkeys((cell.model, cell.kind) for cell in cells))
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


def _published_cells(row: str, members: list[str], first: Cell) -> list[Cell]:
    """Return the published figures of a row; of an average only if it covers the same sets."""
    if row not in _PUBLISHED_ROWS or (row == AVERAGE and set(members) != set(PUBLISHED_BENCHMARKS)):
        return []
    place = _PUBLISHED_ROWS.index(row)
    return [
        Cell(
            ACCURACY,
            row,
            model,
            "published",
            values[place],
            difference=values[place] - first.value,
        )
        for model, values in PUBLISHED.items()
    ]


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
