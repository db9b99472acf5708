"""The benchmarks that evaluate.py knows: their hub ids, and readers of their rows.

The columns of a set decide how its rows are read. So a local file with the columns of one of
these sets is read in the same way as the set on the hub.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from datasets import Dataset

import data
from checks.errors import UserError


@dataclass(frozen=True)
class HubSet:
    hub_id: str
    split: str
    config: str | None = None


HUB_SETS = {
    "AIME 2024": HubSet("HuggingFaceH4/aime_2024", "train"),
    "MATH-500": HubSet("HuggingFaceH4/MATH-500", "test"),
    "AMC": HubSet("AI-MO/aimo-validation-amc", "train"),
    "Minerva Math": HubSet("math-ai/minervamath", "test"),
    "OlympiadBench": HubSet("Hothan/OlympiadBench", "train", "OE_TO_maths_en_COMP"),
    "GSM8K": HubSet("openai/gsm8k", "test", "main"),
    "HumanEval": HubSet("openai/openai_humaneval", "test"),
    "MBPP": HubSet("google-research-datasets/mbpp", "test", "full"),
    "LeetCode": HubSet("newfacade/LeetCodeDataset", "test"),
}


def load_benchmark(name: str, source: str | None, limit: int | None) -> Dataset:
    """Return the first rows of a benchmark as questions, in the schema of Eurus-2-RL-Data.

    Args:
        name: name in the table.
        source: hub id, local file or folder, "arithmetic", or None for the hub set of this name.
        limit: number of rows, at most; None for all.

    Raises:
        UserError: the name is unknown, the source cannot be read or has no rows, or its columns
            are not those of a known set.
    """
    constant = f"BENCHMARKS[{name!r}]"
    if source is None and name not in HUB_SETS:
        raise UserError(
            f"{constant} = None, but no set of that name is known: set a file or a hub id, or "
            f"use one of {', '.join(map(repr, HUB_SETS))}."
        )
    if source is not None and not isinstance(source, str):
        raise UserError(f"{constant} = {source!r} must be text in quotes, or None.")
    known = {hub_set.hub_id: hub_set for hub_set in HUB_SETS.values()}
    hub_set = HUB_SETS[name] if source is None else known.get(source, HubSet(source, "test"))
    rows = data.load_rows(hub_set.hub_id, hub_set.split, constant, hub_set.config)
    columns = set(rows.column_names)
    first = rows.select(range(min(limit or len(rows), len(rows))))
    if "ability" in columns and columns & {"prompt", "problem"}:  # as train_prime.py reads them
        return first
    for needed, read in _READERS.items():
        if set(needed) <= columns:
            return Dataset.from_list([read(row) for row in first])
    raise UserError(
        f"{constant}: the columns are {sorted(columns)}; rows need "
        + "; or ".join(" and ".join(f"`{column}`" for column in needed) for needed in _READERS)
        + "."
    )


def _read_eurus(row: dict) -> dict:
    truth = row["reward_model"]["ground_truth"] if row["reward_model"] else None
    return {"prompt": row["prompt"], "ability": "math", "reward_model": {"ground_truth": truth}}


def _read_leetcode(row: dict) -> dict:
    question = row["problem_description"]
    if row.get("starter_code"):
        question += f"\n\n```python\n{row['starter_code']}\n```"
    truth = {"test": row["test"], "entry_point": row["entry_point"]}
    return _code_row(question, {**truth, "test_imports": row.get("prompt") or ""})


def _read_humaneval(row: dict) -> dict:
    question = f"Complete this function.\n\n```python\n{row['prompt']}\n```"
    return _code_row(question, {"test": row["test"], "entry_point": row["entry_point"]})


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
        truth = row[answer]
        if isinstance(truth, list):  # OlympiadBench: mostly one answer, else all of them
            truth = ", ".join(map(str, truth))
        if isinstance(truth, str) and "####" in truth:  # GSM8K: a solution, then the answer
            truth = truth.rpartition("####")[2].strip()
        truth = "" if truth is None else str(truth)
        reward_model = {"ground_truth": truth}
        return {"prompt": row[question], "ability": "math", "reward_model": reward_model}

    return read


def _code_row(question: str, truth: dict) -> dict:
    reward_model = {"ground_truth": json.dumps(truth)}
    return {"prompt": question, "ability": "code", "reward_model": reward_model}


_READERS = {  # columns: reader of a row that has them; the first that fits is taken
    ("prompt", "reward_model"): _read_eurus,
    ("problem_description", "test", "entry_point"): _read_leetcode,
    ("prompt", "test", "entry_point"): _read_humaneval,
    ("text", "test_list"): _read_mbpp,
    ("prompt", "test_list"): _read_mbpp,
    ("problem", "answer"): _read_question("problem", "answer"),
    ("question", "final_answer"): _read_question("question", "final_answer"),
    ("question", "answer"): _read_question("question", "answer"),
}
