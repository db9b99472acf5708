"""Files of responses: written problem by problem, read back without what a kill cut off."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from checks.errors import UserError
from checks.files import replace_file, writing
from generation.groups import Collected, Group

_OF_A_RESPONSE = {  # field of a Group: its name in the record of one response
    "responses": "response",
    "outcome_rewards": "outcome_reward",
    "statuses": "status",
    "truncated": "truncated",
    "response_ids": "response_ids",
}
_TRUTH_CHARACTERS = 100_000  # of a ground truth, at most; the tests of LiveCodeBench take megabytes
_WEIGHED = {**_OF_A_RESPONSE, "shaped_rewards": "shaped_reward", "parts": "parts"}  # by VERIFIERS


def append_groups(
    path: Path, numbers: Sequence[int], groups: Sequence[Group], decode: Callable[[list], str]
) -> None:
    """Append the responses to some problems, one JSON object per line.

    Args:
        numbers: problem numbers, one per group.
        decode: turns token ids into text.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    records = [
        {"problem": number, **record}
        for number, group in zip(numbers, groups, strict=True)
        for record in make_records(group, decode)
    ]
    with writing(path), path.open("a") as file:
        file.write("".join(json.dumps(record) + "\n" for record in records))


def make_records(group: Group, decode: Callable[[list], str]) -> list[dict]:
    """Return a JSON object for each response of a group; prompt is the text the model was given."""
    shared = {
        "prompt": decode(group.prompt_ids),
        "ground_truth": _shorten(group.ground_truth),
        "ability": group.ability,
        "data_source": group.data_source,
    }
    names = _WEIGHED if group.parts else _OF_A_RESPONSE
    columns = zip(*(getattr(group, name) for name in names), strict=True)
    return [{**shared, **dict(zip(names.values(), values))} for values in columns]


def make_iteration_records(
    collected: Collected,
    decode: Callable[[list[int]], str],
    process_rewards: Tensor | None,
    advantages: Tensor | None,
) -> Iterator[dict]:
    """Yield a JSON object per response: trained ones with token values first, then the others.

    Args:
        decode: turns token ids into text.
        process_rewards, advantages: (B, T) of the kept groups; None if none are kept.
    """

    def make(group: Group) -> Iterator[dict]:
        for record, logprobs in zip(make_records(group, decode), group.sampling_logprobs):
            yield {**record, "sampling_logprobs": _rounded(logprobs)}

    values_of = torch.stack((process_rewards, advantages)).tolist() if collected.kept else ()
    rows = zip(*values_of)  # one copy to the host, not two a response
    for group in collected.kept:
        for record, values in zip(make(group), rows):
            length = len(record["response_ids"])
            own_rewards, own_advantages = (_rounded(own[:length]) for own in values)
            record |= {"process_rewards": own_rewards, "advantages": own_advantages}
            yield {**record, "decision": "trained"}
    kept, surplus = set(map(id, collected.kept)), set(map(id, collected.surplus))
    for group in collected.sampled:
        if id(group) not in kept:
            decision = "surplus" if id(group) in surplus else "filtered out"
            for record in make(group):
                yield {**record, "decision": decision}


def read_groups(
    path: Path, prompts: Sequence[dict], samples: int, decode: Callable[[list], str]
) -> dict[int, Group]:
    """Return the groups in a file by problem number; remove from it what a kill cut off.

    Args:
        prompts: the prompt fields of a Group, by problem number.
        samples: K, responses per problem.
        decode: turns token ids into text.

    Raises:
        UserError: the file holds responses to other problems.
    """
    by_problem: dict[int, list[dict]] = {}
    for row in read_rows(path):
        by_problem.setdefault(row["problem"], []).append(row)
    whole = {number: rows for number, rows in by_problem.items() if len(rows) == samples}
    if len(whole) < len(by_problem):
        write_rows(path, [row for rows in whole.values() for row in rows])
    groups = {}
    for number, rows in whole.items():
        if number >= len(prompts):  # written under a higher LIMIT
            continue
        prompt = prompts[number]
        given = (decode(prompt["prompt_ids"]), _shorten(prompt["ground_truth"]))
        if any((row["prompt"], row["ground_truth"]) != given for row in rows):
            raise UserError(
                f"{path} holds responses to other problems (number {number} differs): name "
                "another OUTPUT, or delete this file."
            )
        names = _WEIGHED if "parts" in rows[0] else _OF_A_RESPONSE
        columns = {name: [row[own] for row in rows] for name, own in names.items()}
        groups[number] = Group(**prompt, **columns)
    return groups


def read_rows(path: Path) -> list[dict]:
    """Return the rows of a file; remove from it a last line that a kill cut off."""
    if not path.exists():
        return []
    text = path.read_text()
    whole, newline, rest = text.rpartition("\n")
    if rest:
        replace_file(path, whole + newline)
    return [json.loads(line) for line in whole.split("\n") if line]


def list_iterations(folder: Path) -> dict[int, Path]:
    """Return a run's files of rollouts by iteration, in order; other files are ignored."""
    paths = sorted(folder.glob("*.jsonl"))
    return {int(path.stem): path for path in paths if path.stem.isdigit()}


def write_rows(path: Path, rows: Sequence[dict]) -> None:
    """Write rows as one JSON object per line, all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, "".join(json.dumps(row) + "\n" for row in rows))


def _shorten(truth: str) -> str:
    """Return a ground truth, or its hash where it is very long."""
    if len(truth) <= _TRUTH_CHARACTERS:
        return truth
    return f"sha256 {hashlib.sha256(truth.encode()).hexdigest()}"


def _rounded(values: list[float]) -> list[float]:
    return [float(f"{value:.4g}") for value in values]
