"""Labelled responses for train_prm.py: read, made token ids, grouped by prompt, some held out."""

import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from datasets import Dataset, Features, List, Value, concatenate_datasets
from transformers import PreTrainedTokenizerBase

import data
from checks.errors import UserError
from checks.rows import keep_short, map_rows, raise_first_fault
from generation.ending import count_token_ids
from reporting.response_files import list_iterations

_TEXT, _TOKENS, _NUMBER = Value("string"), List(Value("int64")), Value("float64")
_ROLLOUT_FEATURES = Features(
    prompt=_TEXT, ability=_TEXT, response=_TEXT, response_ids=_TOKENS, label=_NUMBER
)
_ENCODED_FEATURES = Features(
    prompt_ids=_TOKENS, response_ids=_TOKENS, label=_NUMBER, row=Value("int64"), fault=_TEXT
)


def load_responses(
    source: str,
    split: str,
    tokenizer: PreTrainedTokenizerBase,
    *,
    system_prompt: str | None,
    templates: dict[str, str],
    max_tokens: int,
    constant: str,
) -> tuple[Dataset, int]:
    """Return labelled responses as token ids, and how many were dropped as too long.

    A row holds `prompt`, `response` and `label`, or `outcome_reward` in its place, in [0, 1].

    Args:
        source: of data.load_rows(), or the folder rollouts/ of a run.
        templates: by ability, beside data.TEMPLATES and before them.
        max_tokens: of prompt and response together.
        constant: name of the constant that names the source, for messages.

    Returns:
        responses: columns prompt_ids and response_ids (lists of ints), label (float).
        dropped: number of rows over max_tokens.

    Raises:
        UserError: a column is missing, a row is incomplete (the message names it), or no row is
            left.
    """
    rows = _load_rows(source, split, constant)
    columns = set(rows.column_names)
    if not {"prompt", "response"} <= columns or not columns & {"label", "outcome_reward"}:
        raise UserError(
            f"{constant}: the columns are {sorted(columns)}; rows need `prompt`, `response`, and "
            "`label` or `outcome_reward`."
        )

    known = {**data.TEMPLATES, **templates}

    def encode(row: dict, number: int) -> dict:
        prompt_ids, response_ids, fault = encode_pair(row, tokenizer, system_prompt, known)
        label, label_fault = _read_label(row)
        ids = {"prompt_ids": prompt_ids, "response_ids": response_ids}
        return {**ids, "label": label, "row": number, "fault": fault or label_fault}

    encoded = map_rows(rows, encode, _ENCODED_FEATURES, constant)
    raise_first_fault(encoded, constant)
    pairs = zip(encoded["prompt_ids"], encoded["response_ids"])
    lengths = [len(prompt) + len(response) for prompt, response in pairs]
    return keep_short(encoded, lengths, "MAX_TOKENS", max_tokens, constant)


def encode_pair(
    row: dict,
    tokenizer: PreTrainedTokenizerBase,
    system_prompt: str | None,
    templates: dict[str, str],
) -> tuple[list[int], list[int], str]:
    """Return token ids of prompt and response, and the fault of the row, "" if none.

    A row with `response_ids` whose prompt is text comes from a run's rollouts/ or from evaluate.py:
    the prompt is what the model was given, as it is. Other responses get an EOS.
    """
    prompt, response, ids = row.get("prompt"), row.get("response"), row.get("response_ids")
    ability = row.get("ability") or "math"
    fault = data.find_prompt_fault(prompt, tokenizer)
    if fault:
        return [], [], fault
    if not isinstance(response, str):
        return [], [], "has no response, or one that is not text."
    if ids and isinstance(prompt, str):
        if max(ids) >= count_token_ids(tokenizer):
            return [], [], "has response_ids of another tokenizer."
        return tokenizer(prompt, add_special_tokens=False)["input_ids"], list(ids), ""
    if ability not in templates:
        return [], [], data.explain_unknown_ability(ability, templates)
    prompt_ids, fault = data.encode_prompt(prompt, templates[ability], system_prompt, tokenizer)
    response_ids = tokenizer(response, add_special_tokens=False)["input_ids"]
    return prompt_ids, [*response_ids, tokenizer.eos_token_id], fault


def compute_checksum(responses: Dataset) -> int:
    """Return a number that differs where token ids or labels do."""
    checksum = 0
    for table in responses.with_format("arrow").iter(1000):
        for name in ("prompt_ids", "response_ids"):
            ids = table[name].combine_chunks()
            for numbers in (ids.value_lengths(), ids.flatten()):
                checksum = zlib.crc32(numbers.to_numpy(zero_copy_only=False), checksum)
        checksum = zlib.crc32(table["label"].to_numpy(), checksum)
    return checksum


def group_by_prompt(responses: Dataset) -> list[list[int]]:
    """Return the rows of each prompt, in the order in which the prompts first appear."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, prompt_ids in enumerate(responses["prompt_ids"]):
        groups.setdefault(tuple(prompt_ids), []).append(row)
    return list(groups.values())


def check_labels(responses: Dataset, groups: Sequence[list[int]], loss: str, constant: str) -> None:
    """Raise UserError if there is nothing to tell apart: all responses of the groups have the same
    label, or the loss needs pairs and no prompt has responses of different labels.
    """
    labels = responses["label"]
    known = {labels[row] for group in groups for row in group}
    if len(known) == 1:
        raise UserError(
            f"{constant}: all {sum(map(len, groups))} responses that are short enough and not held "
            f"out have the label {known.pop():g}. A PRM learns from right and wrong responses: add "
            "the others, or raise MAX_TOKENS."
        )
    if loss == "pairs" and all(len({labels[row] for row in group}) == 1 for group in groups):
        raise UserError(
            f'{constant}: no prompt has both a better and a worse response, which LOSS = "pairs" '
            'needs: set LOSS = "ce", or add responses to the same prompts.'
        )


def hold_out(
    groups: Sequence[list[int]], fraction: float, seed: int
) -> tuple[list[list[int]], list[list[int]]]:
    """Return the groups to train on and those held out, a fraction of them drawn by the seed."""
    order = torch.randperm(len(groups), generator=torch.Generator().manual_seed(seed)).tolist()
    count = min(round(fraction * len(groups)), len(groups) - 1)
    held_out, trained = sorted(order[:count]), sorted(order[count:])
    return [groups[i] for i in trained], [groups[i] for i in held_out]


def _load_rows(source: str, split: str, constant: str) -> Dataset:
    """Return the rows of data.load_rows(), or those of all iterations in a run's rollouts/."""
    paths = list_iterations(Path(source)) if Path(source).is_dir() else {}
    if not any("response_ids" in row for path in paths.values() for row in _read_whole_lines(path)):
        return data.load_rows(source, split, constant)
    # Read here: the reader of json wants the same columns in every file. What is surplus stands in
    # the file of a later iteration once more if it is trained on. So it is read from behind.
    parts, trained = [], set()
    for path in reversed(paths.values()):
        rows = []
        for number, row in enumerate(_read_whole_lines(path)):
            row["label"], fault = _read_label(row)
            if not isinstance(row.get("prompt"), str):
                fault = "has no prompt, or one that is not text."
            if fault:
                raise UserError(f"{constant}: row {number} of {path.name} {fault}")
            key = hash((row["prompt"], *(row.get("response_ids") or ())))  # smaller than these
            if row.get("decision") != "surplus" or key not in trained:
                rows.append(row)
            if row.get("decision") == "trained":
                trained.add(key)
        columns = {name: [row.get(name) for row in rows] for name in _ROLLOUT_FEATURES}
        parts.append(Dataset.from_dict(columns, features=_ROLLOUT_FEATURES))
    return concatenate_datasets(parts[::-1])


def _read_whole_lines(path: Path) -> Iterator[dict]:
    """Yield the rows of a file, but not a last line without its end, which a run may be writing."""
    with path.open() as file:
        yield from (json.loads(line) for line in file if line.endswith("\n") and line.strip())


def _read_label(row: dict) -> tuple[float, str]:
    """Return the label of a row, and its fault, worded to follow "row 17"; "" if there is none."""
    label = row.get("outcome_reward") if row.get("label") is None else row["label"]
    if label is None:
        return 0.0, "has neither label nor outcome_reward."
    if not isinstance(label, (bool, int, float)):
        return 0.0, f"has the label {label!r}, which is no number."
    if not 0 <= label <= 1:  # nan neither
        return 0.0, f"has the label {label!r}, which does not lie between 0 and 1."
    return float(label), ""
