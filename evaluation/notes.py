"""The notes below the table: how its figures were measured, and what went wrong on the way."""

from collections import Counter
from collections.abc import Sequence

from evaluation.published import TABLES
from evaluation.table import Cell, describe_differences
from evaluation.tasks import Task


def write_notes(
    constants: dict, limits: dict[str, int], tasks: Sequence[Task], cells: Sequence[Cell]
) -> list[str]:
    """Return the notes.

    Args:
        constants: those of evaluate.py.
        limits: new tokens of a response, at most, by benchmark.
        cells: of the table.
    """
    c = constants
    notes = [*_describe_measuring(c, limits), *_describe_doubt(c, cells)]
    shown = {cell.model for cell in cells if cell.kind == "published"}
    sources = [printed.source for printed in TABLES.values() if shown & set(printed.figures)]
    if sources:
        notes.append(f"published: {'; '.join(sources)}. These figures were not measured here.")
    if c["PRM"]:
        notes.append(
            f"PRM: {c['PRM']}; score: sum of its token rewards, or its lowest step reward."
        )
    return [*notes, *map(_describe_task, tasks)]


def _describe_measuring(constants: dict, limits: dict[str, int]) -> list[str]:
    c = constants
    sampling = "greedily"
    if c["TEMPERATURE"] > 0:
        sampling = f"{c['SAMPLES']} samples per problem at temperature {c['TEMPERATURE']:g}"
        sampling += f", top-p {c['TOP_P']:g}" if c["TOP_P"] < 1 else ""
    first = f", the first {c['LIMIT']} problems of each benchmark" if c["LIMIT"] else ""
    by_benchmark = ", ".join(f"{name} {limit}" for name, limit in limits.items())
    published = "as the published evaluation limits them, or most of its sets"
    origin = "by MAX_RESPONSE_TOKENS" if c["MAX_RESPONSE_TOKENS"] else published
    return [
        f"Measured {sampling}, up to {max(limits.values())} new tokens{first}.",
        f"New tokens are limited {origin}: {by_benchmark}.",
    ]


def _describe_doubt(constants: dict, cells: Sequence[Cell]) -> list[str]:
    baseline = constants["MODELS"][0]
    notes = [
        "[low, high]: 95 % bootstrap interval over problems; its width is 0 if all agree. "
        f"(+x): difference to {baseline}."
    ]
    if constants["SAMPLES"] > 1:
        notes.append(
            "Standard errors of the accuracy, in points. By problem: as if other problems had been "
            "drawn. By sample: as if the same problems had been answered again."
        )
    differences = describe_differences(cells)
    if differences:
        notes.append(
            f"Differences to {baseline} in points, with a 95 % bootstrap interval over the same "
            "problems. Not told apart: it holds 0."
        )
    return notes + differences


def _describe_task(task: Task) -> str:
    groups = task.in_order()
    statuses = Counter(status for group in groups for status in group.statuses)
    cut = sum(truncated for group in groups for truncated in group.truncated)
    text = f"{task.model}, {task.benchmark}: {len(groups)} problems"
    text += f", {cut} responses cut off at {task.max_response_tokens} tokens"
    text += f", {statuses['no_answer']} without an answer"
    if statuses["timeout"] or statuses["error"]:
        text += f", verifier: {statuses['timeout']} time-outs and {statuses['error']} errors"
    if statuses["copied"]:
        text += f", {statuses['copied']} copied from the question"
    return text + "."
