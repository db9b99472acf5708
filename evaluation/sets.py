"""The benchmarks that evaluate.py knows: their hub ids, and readers of their rows.

The columns of a set decide how its rows are read. So a local file with the columns of one of
these sets is read in the same way as the set on the hub.
"""

import ast
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from datasets import Dataset, load_dataset

import data
from checks.errors import UserError


@dataclass(frozen=True)
class HubSet:
    hub_id: str
    split: str
    config: str | None = None
    files: tuple[str, ...] = ()  # of the set, where the hub cannot tell which; none: all


_LIVE_CODE_BENCH = "livecodebench/code_generation_lite"
_LIVE_CODE_FILES = [
    f"hf://datasets/{_LIVE_CODE_BENCH}/test{number}.jsonl" for number in ("", 2, 3, 4, 5, 6)
]
_RELEASES = {  # hub id @ release tag: a release has the files of those before it, and one more
    tagged: HubSet(tagged, "test", files=tuple(_LIVE_CODE_FILES[:number]))
    for number in range(1, 7)
    for tagged in [f"{_LIVE_CODE_BENCH}@release_v{number}"]
}
HUB_SETS = {
    "AIME 2024": HubSet("HuggingFaceH4/aime_2024", "train"),
    "MATH-500": HubSet("HuggingFaceH4/MATH-500", "test"),
    "AMC": HubSet("AI-MO/aimo-validation-amc", "train"),
    "Minerva Math": HubSet("math-ai/minervamath", "test"),
    "OlympiadBench": HubSet("Hothan/OlympiadBench", "train", "OE_TO_maths_en_COMP"),
    "GSM8K": HubSet("openai/gsm8k", "test", "main"),
    "HumanEval": HubSet("openai/openai_humaneval", "test"),
    "MBPP": HubSet("google-research-datasets/mbpp", "test", "full"),
    "LeetCode": HubSet("TechxGenus/LeetCode-Contest", "train"),  # the 180 contest problems
    "LeetCodeDataset": HubSet("newfacade/LeetCodeDataset", "test"),
    "LiveCodeBench v2": _RELEASES[f"{_LIVE_CODE_BENCH}@release_v2"],
}


def load_benchmark(name: str, source: str | None, limit: int | None) -> Dataset:
    """Return the first rows of a benchmark as questions, in the schema of Eurus-2-RL-Data.

    Args:
        name: name in the table.
        source: hub id, local file or folder, "arithmetic", or None for the hub set of this name.
        limit: number of rows, at most; None for all.

    Raises:
        UserError: the name is unknown, the source cannot be read or has no rows, its columns are
            not those of a known set, or a row lacks one of them.
    """
    constant = f"BENCHMARKS[{name!r}]"
    if source is None and name not in HUB_SETS:
        raise UserError(
            f"{constant} = None, but no set of that name is known: set a file or a hub id, or "
            f"use one of {', '.join(map(repr, HUB_SETS))}."
        )
    if source is not None and not isinstance(source, str):
        raise UserError(f"{constant} = {source!r} must be text in quotes, or None.")
    hub_set = HUB_SETS[name] if source is None else _find_hub_set(source, constant)
    if hub_set.files:
        rows = _load_files(hub_set, constant)
    else:
        rows = data.load_rows(hub_set.hub_id, hub_set.split, constant, hub_set.config)
    columns = set(rows.column_names)
    first = rows.select(range(min(limit or len(rows), len(rows))))
    if "ability" in columns and columns & {"prompt", "problem"}:  # as train_prime.py reads them
        return first
    for needed, read in _READERS.items():
        if set(needed) <= columns:
            return Dataset.from_list([read(row) for row in _check_rows(first, needed, constant)])
    if {"steps", "label"} <= columns:
        raise UserError(
            f"{constant}: its rows are solutions with labelled steps, as in ProcessBench. They "
            "measure a PRM: give this source to score.py."
        )
    raise UserError(
        f"{constant}: the columns are {sorted(columns)}; rows need "
        + "; or ".join(" and ".join(f"`{column}`" for column in needed) for needed in _READERS)
        + "."
    )


def _find_hub_set(source: str, constant: str) -> HubSet:
    known = {**{hub_set.hub_id: hub_set for hub_set in HUB_SETS.values()}, **_RELEASES}
    if source.partition("@")[0] == _LIVE_CODE_BENCH and source not in known:
        raise UserError(
            f"{constant} = {source!r} names no release: use one of "
            f"{', '.join(map(repr, _RELEASES))}."
        )
    return known.get(source, HubSet(source, "test"))


def _load_files(hub_set: HubSet, constant: str) -> Dataset:
    try:
        return load_dataset("json", data_files=list(hub_set.files), split="train")
    except Exception as error:  # the reader and the hub raise their own kinds
        raise UserError(
            f"{constant} = {hub_set.hub_id!r}: cannot be read: {error!r}. If this machine has no "
            f"network, name a local file with the rows of {', '.join(hub_set.files)}."
        ) from error


def _check_rows(rows: Dataset, needed: tuple[str, ...], constant: str) -> Iterator[dict]:
    """Yield the rows; raise UserError at the first that lacks a column."""
    for number, row in enumerate(rows):
        for column in needed:
            if row[column] in (None, "", []):
                raise UserError(f"{constant}: row {number} has no `{column}`.")
        yield row


def _read_eurus(row: dict) -> dict:
    truth = row["reward_model"]["ground_truth"] if row["reward_model"] else None
    return {"prompt": row["prompt"], "ability": "math", "reward_model": {"ground_truth": truth}}


def _read_leetcode(row: dict) -> dict:
    question = row["problem_description"]
    if row.get("starter_code"):
        question += f"\n\n```python\n{row['starter_code']}\n```"
    truth = {"test": row["test"], "entry_point": row["entry_point"]}
    return _code_row(question, {**truth, "test_imports": row.get("prompt") or ""})


def _read_contest(row: dict) -> dict:
    return _code_row(row["prompt_sft"], {"test": row["test"]})


def _read_live_code_bench(row: dict) -> dict:
    """Return a row with the published prompt; its tests stay encoded, as they are very large."""
    question = f"### Question:\n{row['question_content']}\n\n### Format: "
    if row.get("starter_code"):
        question += "You will use the following starter code to write the solution to the problem "
        question += f"and enclose your code within delimiters.\n```python\n{row['starter_code']}"
    else:
        question += "Read the inputs from stdin solve the problem and write the answer to stdout "
        question += "(do not directly test on the sample inputs). Enclose your code within "
        question += "delimiters as follows.\n```python\n# YOUR CODE HERE"
    question += "\n```\n\n### Answer: (use the provided format with backticks)\n\n"
    return _code_row(question, {column: row[column] for column in _LIVE_CODE_TESTS})


def _read_humaneval(row: dict) -> dict:
    question = f"Complete this function.\n\n```python\n{row['prompt']}\n```"
    truth = {"test": row["test"], "entry_point": row["entry_point"]}
    helpers = _find_helpers(row["prompt"], row["entry_point"])
    return _code_row(question, truth | ({"test_setup_code": helpers} if helpers else {}))


def _find_helpers(prompt: str, entry_point: str) -> str:
    """Return what a prompt defines beside the function to write; some tests call it."""
    try:
        nodes = ast.parse(prompt).body
    except SyntaxError:  # the function has no body yet
        return ""
    others = [node for node in nodes if getattr(node, "name", "") != entry_point]
    has_function = any(isinstance(node, ast.FunctionDef) for node in others)
    return "\n\n".join(map(ast.unparse, others)) if has_function else ""


def _read_mbpp(row: dict) -> dict:
    tests = row["test_list"]
    question = (row.get("text") or row["prompt"]) + "\n\nIt must pass these tests:\n\n"
    truth = {"test_list": tests, "test_imports": row.get("test_imports") or []}
    if row.get("test_setup_code"):
        truth["test_setup_code"] = row["test_setup_code"]
    return _code_row(question + "```python\n" + "\n".join(tests) + "\n```", truth)


def _read_question(question: str, answer: str) -> Callable[[dict], dict]:
    """Return a reader of maths rows with a question in one column and its answer in another."""

    def read(row: dict) -> dict:
        reward_model = {"ground_truth": data.read_plain_answer(row[answer])}
        return {"prompt": row[question], "ability": "math", "reward_model": reward_model}

    return read


def _code_row(question: str, truth: dict) -> dict:
    reward_model = {"ground_truth": json.dumps(truth)}
    return {"prompt": question, "ability": "code", "reward_model": reward_model}


_LIVE_CODE_TESTS = ("public_test_cases", "private_test_cases", "metadata")
_READERS = {  # columns: reader of a row that has them; the first that fits is taken
    ("prompt", "reward_model"): _read_eurus,
    ("problem_description", "test", "entry_point"): _read_leetcode,
    ("prompt_sft", "test"): _read_contest,
    ("question_content", *_LIVE_CODE_TESTS): _read_live_code_bench,
    ("prompt", "test", "entry_point"): _read_humaneval,
    ("text", "test_list"): _read_mbpp,
    ("prompt", "test_list"): _read_mbpp,
    ("problem", "answer"): _read_question("problem", "answer"),
    ("question", "final_answer"): _read_question("question", "final_answer"),
    ("question", "answer"): _read_question("question", "answer"),
}
