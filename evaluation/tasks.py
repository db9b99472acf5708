"""One model on one benchmark: its prompts, its responses so far, its scores by a PRM."""

import json
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from accelerate import Accelerator
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

import data
from checks import model_files
from checks.errors import UserError, advising_on_memory
from checks.files import make_file_name
from checks.saved_constants import check_same_constants
from evaluation import scoring
from generation.ending import find_pad_token_id
from generation.groups import Group
from reporting import response_files
from reporting.progress import show_progress
from reporting.steps import split_steps, token_texts
from training import processes


@dataclass(frozen=True)
class Task:
    """One model on one benchmark."""

    model: str
    benchmark: str
    tokenizer: PreTrainedTokenizerBase
    prompts: list[dict]  # each with prompt_ids, ability, ground_truth, data_source
    samples: int  # K, responses per problem
    max_response_tokens: int
    responses: Path  # file of the responses
    groups: dict[int, Group]  # by problem number; those that exist so far

    @property
    def missing(self) -> list[int]:
        return [number for number in range(len(self.prompts)) if number not in self.groups]

    def in_order(self) -> list[Group]:
        return [self.groups[number] for number in range(len(self.prompts))]

    def add_groups(self, numbers: Sequence[int], groups: Sequence[Group], write: bool) -> None:
        """Add the responses to some problems, and append them to the file if write is True."""
        self.groups.update(zip(numbers, groups))
        if write:
            response_files.append_groups(self.responses, numbers, groups, _decode(self.tokenizer))


def make_task(
    folder: Path,
    model: str,
    benchmark: str,
    rows: Dataset,
    *,
    samples: int,
    system_prompt: str | None,
    max_response_tokens: int,
    verifiers: dict,
    templates: dict,
) -> Task:
    """Encode a benchmark for a model and read the responses that already exist.

    Args:
        folder: folder of the evaluation.
        rows: rows of the benchmark from evaluation.sets.load_benchmark().
        max_response_tokens: limit per response; lower if the model has too few positions.
        verifiers, templates: constants of evaluate.py.

    Raises:
        UserError: a row is incomplete, a prompt leaves no room for a response, or the file holds
            responses to other problems.
    """
    tokenizer = model_files.load_tokenizer(model, "MODELS")
    constant = f"BENCHMARKS[{benchmark!r}]"
    positions, _ = model_files.find_positions(model_files.load_config(model, "MODELS"))
    positions = positions or sys.maxsize
    encoded, _ = data.encode_prompts(
        rows,
        tokenizer,
        system_prompt=system_prompt,
        max_prompt_tokens=sys.maxsize,
        abilities=None,
        constant=constant,
        verifiers=verifiers,
        templates=templates,
    )
    prompts = list(encoded)
    longest = max(len(prompt["prompt_ids"]) for prompt in prompts)
    if longest >= positions:
        raise UserError(
            f"{constant}: a prompt has {longest} tokens, but {model} knows {positions} positions "
            "(max_position_embeddings in its config.json), so there is no room for a response. "
            "Leave out this benchmark or this model."
        )
    path = folder / "responses" / make_file_name(model) / f"{make_file_name(benchmark)}.jsonl"
    return Task(
        model=model,
        benchmark=benchmark,
        tokenizer=tokenizer,
        prompts=prompts,
        samples=samples,
        max_response_tokens=min(max_response_tokens, positions - longest),
        responses=path,
        groups=response_files.read_groups(path, prompts, samples, _decode(tokenizer)),
    )


def check_unchanged(
    folder: Path, constants: dict, models: Sequence[str], free_to_change: list[str]
) -> dict:
    """Return size and time of change of the models' weight files, for constants.json.

    Raises:
        UserError: constants that shape responses, or the files of a model, have changed since the
            folder was begun.
    """
    path = folder / "constants.json"
    known = {}
    if path.exists():
        before = json.loads(path.read_text())
        earlier = {"VERIFIERS": {}, "TEMPLATES": {}, "TOP_P": 1.0}  # of a folder from before them
        old_constants = {**earlier, **before["constants"]}
        check_same_constants(constants, old_constants, folder, free_to_change)
        known = before["models"]
    for model in models:
        weights = model_files.describe_weights(model)
        if known.setdefault(model, weights) != weights:
            raise UserError(
                f"{model} has changed since {folder} was begun: name another OUTPUT, or delete "
                "this folder."
            )
    return known


@advising_on_memory("Out of memory while the PRM scores: lower MICRO_BATCH_TOKENS.")
def score_task(
    accelerator: Accelerator, scorer: scoring.Scorer, task: Task, batch_tokens: int
) -> list[dict]:
    """Let every process score its share of the problems; all processes return all scores.

    Returns:
        one dict per problem: `sums` and `minima` over the step rewards, K values each, and `of`,
        the digest of the responses.
    """
    groups = task.in_order()
    mine = groups[accelerator.process_index :: accelerator.num_processes]
    responses = [ids for group in mine for ids in group.response_ids]
    with show_progress(accelerator, total=len(responses), desc="score") as bar:
        token_rewards = scoring.score_tokens(
            scorer,
            [group.prompt_ids for group in mine for _ in group.response_ids],
            responses,
            pad_token_id=find_pad_token_id(task.tokenizer),
            batch_tokens=batch_tokens,
            on_rows=bar.update,
        )
    step_rewards = [
        scoring.sum_steps(rewards, split_steps(token_texts(task.tokenizer, ids)))
        for rewards, ids in zip(token_rewards, responses)
    ]
    rows = [
        {
            "sums": [sum(steps) for steps in step_rewards[first : first + task.samples]],
            "minima": [min(steps) for steps in step_rewards[first : first + task.samples]],
            "of": digest(group),
        }
        for group, first in zip(mine, range(0, len(step_rewards), task.samples))
    ]
    return processes.gather_in_order(accelerator, rows)


def digest(group: Group) -> int:
    """Return a checksum of a problem's responses."""
    return zlib.crc32(str(group.response_ids).encode())


def _decode(tokenizer: PreTrainedTokenizerBase) -> Callable[[list], str]:
    return partial(tokenizer.decode, skip_special_tokens=False)
