"""Sends the first responses of an iteration to the tracker, as a table where it has tables."""

from collections.abc import Sequence
from functools import partial
from textwrap import indent

from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from transformers import PreTrainedTokenizerBase

from generation.groups import Collected
from reporting.response_files import make_records
from reporting.steps import make_visible

_GROUPS = 3  # prompts of an iteration
_COLUMNS = {  # of a record: heading
    "prompt": "prompt",
    "response": "response",
    "outcome_reward": "reward",
    "status": "status",
}


def log_completions(
    accelerator: Accelerator,
    iteration: int,
    collected: Collected,
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    """Send all responses to the first prompts of an iteration to the accelerator's trackers.

    These are prompts that it trained on, or, if none passed the filter, prompts that it sampled.
    """
    if not accelerator.trackers:
        return
    groups = (collected.kept or collected.sampled)[:_GROUPS]
    decode = partial(tokenizer.decode, skip_special_tokens=False)
    records = [record for group in groups for record in make_records(group, decode)]
    rows = [[record[name] for name in _COLUMNS] for record in records]
    for tracker in accelerator.trackers:
        _log_table(tracker, iteration, rows)


def _log_table(tracker: GeneralTracker, iteration: int, rows: Sequence[list]) -> None:
    headings = list(_COLUMNS.values())
    if tracker.name == "wandb":
        tracker.log_table("completions", columns=headings, data=rows, step=iteration)
    elif tracker.name == "trackio":
        import pandas
        import trackio

        table = trackio.Table(dataframe=pandas.DataFrame(rows, columns=headings))
        tracker.log({"completions": table}, step=iteration)
    else:  # TensorBoard has no tables. An indented text is shown as it is.
        text = "\n\n".join(_describe(*row) for row in rows)
        tracker.log({"completions": text}, step=iteration)


def _describe(prompt: str, response: str, reward: float, status: str) -> str:
    shown = indent(make_visible(f"{prompt}\n---\n{response}"), "    ", lambda line: True)
    return f"reward {reward:.3g}, {status}\n\n{shown}"
