"""Makes the rows of countdown: `python recipes/countdown/make_rows.py [FOLDER]`.

Writes train.jsonl and test.jsonl, the same on every machine. The target of a row is the value of a
random expression of its numbers, so every row has a solution.
"""

import json
import random
import sys
from fractions import Fraction
from pathlib import Path

SIZES = {"train": 4096, "test": 256}  # rows
MOST = 100  # the largest target


def make_row(rng: random.Random) -> dict:
    """Return a question with its target, and its three or four numbers as extra_info."""
    while True:
        numbers = [rng.randint(1, 12) for _ in range(rng.choice((3, 4)))]
        total = Fraction(numbers[0])
        for number in numbers[1:]:
            results = [total + number, total - number, total * number, total / number]
            total = rng.choice(results)
        if total.denominator == 1 and 1 <= total <= MOST and total not in numbers:
            break
    rng.shuffle(numbers)
    return {
        "problem": f"Numbers: {', '.join(map(str, numbers))}. Target: {total}.",
        "answer": str(total),
        "ability": "countdown",
        "data_source": "countdown",
        "extra_info": {"numbers": numbers},
    }


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
    rng, seen = random.Random("countdown"), set()
    for split, size in SIZES.items():
        rows = []
        while len(rows) < size:
            row = make_row(rng)
            if row["problem"] not in seen:  # no test row among the training rows
                seen.add(row["problem"])
                rows.append(row)
        path = folder / f"{split}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        print(path)


if __name__ == "__main__":
    main()
