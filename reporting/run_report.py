"""Writes the report of one run, or of several together: curves.png and report.html."""

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from checks import model_files
from checks.errors import UserError
from reporting.curves import Metrics, draw_curves
from reporting.health import find_warnings
from reporting.page import Pinned, ShownGroup, show_response, write_page
from reporting.response_files import list_iterations
from reporting.steps import make_visible

_ITERATIONS = 12  # iterations of a run whose responses are on the page
_TRAINED, _OTHERS = 4, 2  # groups of an iteration on the page: trained on, and not
_CANDIDATES = 16  # trained groups of an iteration from which the most telling is chosen
RELOAD_SECONDS = 5  # of a page of a run that goes on
_TOKENS = 400_000  # response tokens on a page: about 10 MB


@dataclass(frozen=True)
class RunFolder:
    name: str
    folder: Path
    constants: dict
    metrics: Metrics
    tokenizer: PreTrainedTokenizerBase


def read_run(folder: Path, tokenizer: PreTrainedTokenizerBase | None = None) -> RunFolder:
    """Read the folder of a run.

    Args:
        tokenizer: of the run; None loads it from policy/ or, before the first save, from MODEL.

    Raises:
        UserError: the folder holds no run, or a run without a finished iteration.
    """
    metrics_path, constants_path = folder / "metrics.jsonl", folder / "constants.json"
    if not metrics_path.exists() or not constants_path.exists():
        raise UserError(f"{folder} is no run's folder: metrics.jsonl or constants.json is missing.")
    whole = metrics_path.read_text().rpartition("\n")[0]  # the last line may be half written
    metrics = [json.loads(line) for line in whole.splitlines()]
    if not metrics:
        raise UserError(f"{folder}: no iteration is finished yet. Wait for one.")
    constants = json.loads(constants_path.read_text())["constants"]
    if "iteration" not in metrics[0]:
        raise UserError(f"{folder} holds no run of train_prime.py: there is no report of others.")
    if tokenizer is None:
        saved = folder / "policy"
        source = str(saved) if (saved / "config.json").exists() else constants["MODEL"]
        tokenizer = model_files.load_tokenizer(source, f"the model of {folder}")
    return RunFolder(folder.resolve().name, folder, constants, metrics, tokenizer)


def is_complete(run: RunFolder) -> bool:
    """Return whether a run has done all of its iterations."""
    return run.metrics[-1]["iteration"] + 1 >= run.constants["NUM_ITERATIONS"]


def write_report(
    runs: Sequence[RunFolder], output: Path, prefix: str = "", reloads: bool = False
) -> list[Path]:
    """Write curves.png and report.html into a folder; return their paths.

    Args:
        reloads: the page loads itself again every few seconds, as long as it is only read.
    """
    names = _unique_names(runs)
    picture, page = output / f"{prefix}curves.png", output / f"{prefix}report.html"
    draw_curves(dict(zip(names, (run.metrics for run in runs))), picture)
    groups: list[ShownGroup] = []
    pinned: list[Pinned] = []
    for number, run in enumerate(runs):
        own_groups, own_pinned = select_responses(run, number, _TOKENS // len(runs))
        for pin in own_pinned:
            title = pin.title if len(runs) == 1 else f"{names[number]}: {pin.title}"
            pinned.append(Pinned(title, pin.group + len(groups), pin.chosen))
        groups += own_groups
    all_constants = dict.fromkeys(name for run in runs for name in run.constants)
    write_page(
        page,
        title="PRIME: " + ", ".join(names),
        summary="; ".join(_summarize(name, run) for name, run in zip(names, runs)),
        warnings=[
            f"{name}, {warning}" if len(runs) > 1 else warning
            for name, run in zip(names, runs)
            for warning in find_warnings(run.metrics, run.constants)
        ],
        reload_seconds=RELOAD_SECONDS if reloads else 0,
        selection=f"The page shows up to {_ITERATIONS} iterations: of each, up to {_TRAINED} "
        f"prompts that were trained on and {_OTHERS} that were not, with all their responses. "
        "rollouts/ holds the others. Click on a row to see its tokens.",
        groups=groups,
        pinned=pinned,
        runs=names,
        constants={name: [repr(run.constants.get(name)) for run in runs] for name in all_constants},
        curves=base64.b64encode(picture.read_bytes()).decode(),
    )
    return [picture, page]


def select_responses(
    run: RunFolder, number: int, tokens: int
) -> tuple[list[ShownGroup], list[Pinned]]:
    """Return the groups of a run that a page shows, and the responses pinned at its top.

    Args:
        number: number of the run on the page.
        tokens: response tokens, at most; but one group of each iteration is always shown.
    """
    iterations = list(list_iterations(run.folder / "rollouts"))
    iterations = [n for n in iterations if n <= run.metrics[-1]["iteration"]]
    last = len(iterations) - 1
    places = {round(last * k / (_ITERATIONS - 1)) for k in range(_ITERATIONS)}
    # A PRM that starts as its reference gives few rewards in iteration 0, so show iteration 1 too.
    shown = sorted({iterations[place] for place in places | {min(1, last)}} if iterations else ())
    groups: list[ShownGroup] = []
    pinned: list[Pinned] = []
    for iteration in shown:
        trained, others = _read_groups(run, number, iteration)
        trained.sort(key=_tells, reverse=True)
        room = tokens // len(shown)
        tells = trained and _tells(trained[0]) and any(map(any, _rewards(trained[0])))
        if tells and (not pinned or iteration == shown[-1]):
            title = f"Iteration {iteration}: a right and a wrong response to one prompt"
            pinned.append(Pinned(title, len(groups), list(_opposites(trained[0]))))
        for group in [*trained[:_TRAINED], *others]:
            length = sum(len(response.texts) for response in group.responses)
            if length <= room or group in trained[:1]:
                groups.append(group)
                room -= length
    return groups, pinned


def _read_groups(
    run: RunFolder, number: int, iteration: int
) -> tuple[list[ShownGroup], list[ShownGroup]]:
    """Return the first groups of an iteration that were trained on, and the first that were not."""
    trained, others = [], []
    for records in _read_records(run, iteration):
        kind, most = (
            (trained, _CANDIDATES) if records[0]["decision"] == "trained" else (others, _OTHERS)
        )
        if len(kind) < most:
            kind.append(_show_group(run, number, iteration, records))
        elif len(others) == _OTHERS:
            break
    return trained, others


def _read_records(run: RunFolder, iteration: int) -> Iterator[list[dict]]:
    """Yield the records of each prompt, prompt by prompt."""
    samples = run.constants["SAMPLES_PER_PROMPT"]
    with (run.folder / "rollouts" / f"{iteration:06d}.jsonl").open() as file:
        while lines := [line for _, line in zip(range(samples), file)]:
            yield [json.loads(line) for line in lines]


def _show_group(run: RunFolder, number: int, iteration: int, records: list[dict]) -> ShownGroup:
    return ShownGroup(
        prompt=make_visible(records[0]["prompt"]),
        truth=make_visible(records[0]["ground_truth"]),
        decision=records[0]["decision"],
        run=number,
        iteration=iteration,
        responses=[
            show_response(
                run.tokenizer,
                record["response_ids"],
                rewards=record.get("process_rewards"),
                advantages=record.get("advantages"),
                status=record["status"],
                outcome=record["outcome_reward"],
                truncated=record["truncated"],
                parts=record.get("parts"),
            )
            for record in records
        ],
    )


def _opposites(group: ShownGroup) -> tuple[int, int]:
    """Return the numbers of the right and the wrong response of a group with the most steps."""
    best, worst = max(r.outcome for r in group.responses), min(r.outcome for r in group.responses)
    numbers = range(len(group.responses))
    by_steps = sorted(numbers, key=lambda n: len(group.responses[n].steps), reverse=True)
    right = next(n for n in by_steps if group.responses[n].outcome == best)
    wrong = next(n for n in by_steps if group.responses[n].outcome == worst)
    return right, wrong


def _rewards(group: ShownGroup) -> list[list[float]]:
    return [response.rewards or [] for response in group.responses]


def _tells(group: ShownGroup) -> int:
    """Return how many steps a right and a wrong response of a group both have; 0 without both."""
    right, wrong = (group.responses[n] for n in _opposites(group))
    return 0 if right.outcome == wrong.outcome else min(len(right.steps), len(wrong.steps))


def _summarize(name: str, run: RunFolder) -> str:
    text = f"{name}: {len(run.metrics)} iterations from {run.constants['MODEL']}"
    lines = [line["train_accuracy"] for line in run.metrics]
    sampled = [accuracy for accuracy in lines if accuracy is not None]  # None: surplus was enough
    if sampled:
        text += f", accuracy of sampled responses {sampled[0]:.3f} to {sampled[-1]:.3f}"
    keys = ("eval_accuracy_before", "eval_accuracy")
    held_out = [line[key] for line in run.metrics for key in keys if line.get(key) is not None]
    if len(held_out) > 1:
        text += f", held-out {held_out[0]:.3f} to {held_out[-1]:.3f}"
    return text


def _unique_names(runs: Sequence[RunFolder]) -> list[str]:
    """Return a name for each run: its folder's name, or whole paths if two names are equal."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.folder) for run in runs]
