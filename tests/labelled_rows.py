"""Labelled responses to sums, in which right and wrong ones are easy to tell apart."""

import json
from pathlib import Path


def make_rows(prompts: int = 9) -> list[dict]:
    """Return rows of some prompts, two to four responses each, some of them partly right."""
    rows = []
    for number in range(prompts):
        a, b = number + 1, (number * 3) % 5 + 1
        answers = [(a + b, 1.0), (20 - b, 0.0), (a, 0.25), (20, 0.0)][: 2 + number % 3]
        for answer, label in answers:
            response = f"{a}+{b}={answer}\n\\boxed{{{answer}}}"
            rows.append({"prompt": f"{a}+{b}", "response": response, "label": label})
    return rows


def write_rows(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)
