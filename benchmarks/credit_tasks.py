"""The tasks of credit_rules.py: facts that the model partly misremembers, and rules for each line.

A fact is a number, an operator and a number, such as 7*8. Its result is drawn at random, once and
for all, so there is nothing to understand: a table has to be learned. The SFT model knows most of
the table. Of a share of the facts it states a wrong result more often than not. Reinforcement
learning has to find out which line of a response is wrong.

"exam": a question lists facts, a response states each, and passes if enough of them are right. So
errors are independent, and many do not show.

"walk": a question is a chain of facts. Each starts from the result of the one before. A response
states each, and answers with the last result. So any error shows, and all lines after it differ.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from data import TEMPLATES
from embedded import arithmetic

Fact = tuple[int, str, int]

_RESULTS = 21  # of a fact: 0 to 20, the numbers of the embedded tokenizer
_STATED = 0.6  # how often a demonstration states the wrong result of a misremembered fact
_PASSES = 0.75  # share of right lines with which an exam is passed
_SIZES = {"sft": 60_000, "train": 16_384, "test": 512}


class Task(NamedTuple):
    """What differs between the tasks."""

    name: str
    lines: tuple[int, int]  # facts in a question, fewest and most
    misremembered: float  # share of all facts
    sft_steps: int
    constants: dict  # of train_prime.py, where they differ from the hard task's


TASKS = {
    "exam": Task(
        "exam",
        (8, 12),
        0.5,
        1000,
        {
            "VERIFIERS": {"exam": f"{__file__}:pass_exam"},
            "TEMPLATES": {"exam": TEMPLATES["math"]},  # as in SFT
        },
    ),
    "walk": Task("walk", (4, 8), 0.3, 1000, {}),
}


def right_result(task: Task, fact: Fact) -> int:
    return random.Random(f"{task.name} {fact}").randrange(_RESULTS)


def wrong_result(task: Task, fact: Fact) -> int | None:
    """Return the wrong result of a misremembered fact, None if it is known."""
    rng = random.Random(f"{task.name} {fact} wrong")
    if rng.random() >= task.misremembered:
        return None
    right = right_result(task, fact)
    return rng.choice([result for result in range(_RESULTS) if result != right])


def make_question(task: Task, rng: random.Random) -> str:
    """Return an exam such as `13*7:4+9:2/5`, or a walk such as `((13*7)+4)/9`."""
    count = rng.randint(*task.lines)
    operations = [(rng.choice("+-*/"), rng.randrange(_RESULTS)) for _ in range(count)]
    if task.name == "exam":
        return ":".join(f"{rng.randrange(_RESULTS)}{symbol}{b}" for symbol, b in operations)
    return arithmetic.write_chain(rng.randrange(_RESULTS), operations)


def read_question(task: Task, question: str) -> tuple[int | None, list[tuple[str, int] | Fact]]:
    """Return a walk's start and its operations, or None and an exam's facts."""
    if task.name == "exam":
        parts = [re.fullmatch(r"(\d+)(.)(\d+)", part).groups() for part in question.split(":")]
        return None, [(int(a), symbol, int(b)) for a, symbol, b in parts]
    first, *pairs = re.findall(r"\d+|[-+*/]\d+", question)
    return int(first), [(pair[0], int(pair[1:])) for pair in pairs]


def respond(task: Task, question: str, rng: random.Random | None = None) -> str:
    """Return a right response, or with rng what the SFT model is to say."""
    total, parts = read_question(task, question)
    lines = []
    for part in parts:
        fact = part if total is None else (total, *part)
        result = right_result(task, fact)
        wrong = wrong_result(task, fact) if rng else None
        if wrong is not None and rng.random() < _STATED:
            result = wrong
        lines.append(f"{fact[0]}{fact[1]}{fact[2]}={result}")
        total = None if total is None else result
    work = "[ADVANCE]\n" + "\n".join(lines)
    return work if total is None else f"{work}\n\n[OUTPUT]\n\\boxed{{{total}}}"


def pass_exam(response: str, ground_truth: str) -> float:
    """Return 1 if enough lines are right, and 0 otherwise: the outcome reward of an exam."""
    lines, wanted = response.split("\n"), ground_truth.split("\n")
    right = sum(line == other for line, other in zip(lines, wanted)) - 1  # the first is a marker
    return float(len(lines) == len(wanted) and right >= _PASSES * (len(wanted) - 1))


def judge_steps(task: Task, question: str, steps: Sequence[str]) -> list[bool | None]:
    """Return for each line of a response whether it is right; None if it states nothing.

    A fact is right if it is the next one of the question (in a walk: from the result written
    before, right or wrong) and has the right result. A box is right if it holds the last result.
    """
    total, left = read_question(task, question)
    verdicts: list[bool | None] = []
    for step in steps:
        text = re.sub(r"<\|\w+\|>|\s", "", step)
        stated = re.fullmatch(r"(\d+)([-+*/])(\d+)=(\d+)", text)
        box = re.fullmatch(r"\\boxed\{(\d+)\}", text)
        if text in ("", "[ADVANCE]", "[OUTPUT]"):
            verdicts.append(None)
        elif stated:
            fact, result = (int(stated[1]), stated[2], int(stated[3])), int(stated[4])
            is_next = bool(left) and fact == (left[0] if total is None else (total, *left[0]))
            verdicts.append(is_next and result == right_result(task, fact))
            left = left[1:]
            total = None if total is None else result
        elif box and not left:
            verdicts.append(int(box[1]) == total)
        else:
            verdicts.append(False)
            left = left[1:]
    return verdicts


def make_rows(task: Task, split: str) -> list[dict]:
    """Return one split; no question of "test" is in another."""
    rng, rows = random.Random(f"{task.name} {split}"), []
    while len(rows) < _SIZES[split]:
        question = make_question(task, rng)
        if (zlib.crc32(question.encode()) % 8 == 0) != (split == "test"):
            continue
        if split == "sft":
            rows.append({"prompt": question, "response": respond(task, question, rng)})
            continue
        truth = respond(task, question)
        if task.name == "walk":
            truth = re.findall(r"\d+", truth)[-1]
        rows.append({"data_source": task.name, "prompt": question, "answer": truth})
        rows[-1]["ability"] = "math" if task.name == "walk" else task.name
    return rows


def make_task(task: Task, folder: Path) -> None:
    """Write the task's rows to a folder, and train its SFT model there: folder/sft."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in _SIZES:
        rows = make_rows(task, split)
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = [f"DATA={folder}/sft.jsonl", "SPLIT=train", f"OUTPUT={folder}/sft"]
    settings += ["MODEL=embedded/arithmetic-sft", f"STEPS={task.sft_steps}", "LR=2e-3"]
    subprocess.run([sys.executable, "sft.py", *settings], cwd=ROOT, check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    make_task(TASKS[arguments.task], arguments.folder.resolve())
