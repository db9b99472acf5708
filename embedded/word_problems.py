"""Word problems of two to four steps in plain English, with solutions in sentences.

A task for a small pretrained model. A problem is put together from a beginning, one or two events
and an end, each of several wordings; its answer is a whole number below 100. The model must find
the steps in the text.

    Mia buys 4 bags of 6 marbles. Then she gives 5 marbles to Omar. How many marbles does Mia have
    now?

    Mia buys 4 bags of 6 marbles, which is 4 * 6 = 24 marbles. She gives 5 away, so she has
    24 - 5 = 19 marbles. The answer is \\boxed{19}.
"""

import random
import zlib

from datasets import Dataset

NAME = "word-problems"  # its name in TRAIN_DATA, EVAL_DATA and sft.py's DATA
SPLIT_SIZES = {"sft": 4_096, "train": 8_192, "test": 512}

_PEOPLE = [("Mia", "she"), ("Omar", "he"), ("Lena", "she"), ("Jack", "he"), ("Sara", "she")]
_PEOPLE += [("Ben", "he"), ("Nora", "she"), ("Luis", "he"), ("Ada", "she"), ("Tom", "he")]
_THINGS = (
    "marbles apples books stickers pencils cookies shells coins cards roses eggs beads".split()
)
_BOXES = "bags boxes baskets packs jars trays".split()
_MOST = 99  # the largest answer

Story = tuple[str, str, int]  # text of the problem, sentences of the solution, number at the end


def split_rows(split: str) -> Dataset:
    """Return one split, the same on every machine; no problem of "test" is in another split.

    "sft" has columns prompt and response; "train" and "test" have the columns of Eurus-2-RL-Data.

    Raises:
        KeyError: no such split.
    """
    size = SPLIT_SIZES[split]
    rng = random.Random(f"{NAME} {split}")
    rows: list[dict] = []
    seen = set()
    while len(rows) < size:
        question, solution, answer = make_problem(rng)
        is_test = zlib.crc32(question.encode()) % 8 == 0
        if is_test != (split == "test") or question in seen:
            continue
        seen.add(question)
        if split == "sft":
            rows.append({"prompt": question, "response": solution})
        else:
            rows.append(
                {
                    "data_source": NAME,
                    "prompt": question,
                    "ability": "math",
                    "reward_model": {"style": "rule", "ground_truth": str(answer)},
                    "extra_info": {"split": split, "index": len(rows)},
                }
            )
    return Dataset.from_list(rows)


def make_problem(rng: random.Random) -> Story:
    """Return a problem, its solution and its answer, from 1 to 99."""
    while True:
        (name, pronoun), (other, _) = rng.sample(_PEOPLE, 2)
        words = dict(name=name, she=pronoun, She=pronoun.title(), other=other)
        words |= dict(things=rng.choice(_THINGS), boxes=rng.choice(_BOXES))
        text, solution, total = _begin(rng, words)
        steps = int("=" in solution)
        for _ in range(rng.choice((1, 2)) if steps else 2):
            text, solution, total = _go_on(rng, words, (text, solution, total))
        text, solution, total = _end(rng, words, (text, solution, total))
        if 0 < total <= _MOST:
            return text, f"{solution} The answer is \\boxed{{{total}}}.", total


def _begin(rng: random.Random, words: dict) -> Story:
    """Return a beginning: a number of things, given or to be multiplied."""
    n, m = rng.randint(2, 9), rng.randint(2, 9)
    if rng.random() < 0.5:
        verb = rng.choice(("buys", "has", "finds", "gets"))
        text = f"{words['name']} {verb} {n} {words['boxes']} of {m} {words['things']}"
        return f"{text}.", f"{text}, which is {n} * {m} = {n * m} {words['things']}.", n * m
    total = rng.randint(8, 60)
    verb = rng.choice(("has", "collects", "starts the day with", "counts"))
    text = f"{words['name']} {verb} {total} {words['things']}."
    return text, text, total


def _go_on(rng: random.Random, words: dict, story: Story) -> Story:
    """Return a story with one more event."""
    text, solution, total = story
    n = rng.randint(2, 20)
    if rng.random() < 0.5 and n < total:
        events = (
            ("{She} gives {n} {things} to {other}.", "{She} gives {n} away"),
            ("Then {she} loses {n} of them.", "{She} loses {n}"),
            ("{other} takes {n} of the {things}.", "{other} takes {n}"),
            ("After that, {n} of the {things} are sold.", "{n} are sold"),
        )
        sign, result = "-", total - n
    else:
        events = (
            ("{other} gives {name} {n} more {things}.", "{other} gives {n} more"),
            ("Then {she} finds another {n} {things}.", "{She} finds {n}"),
            ("Later {she} buys {n} more.", "{She} buys {n}"),
            ("{other} adds {n} {things} of {other}'s own.", "{other} adds {n}"),
        )
        sign, result = "+", total + n
    event, reason = (part.format(n=n, **words) for part in rng.choice(events))
    return (
        f"{text} {event}",
        f"{solution} {reason}, so there are {total} {sign} {n} = {result} {words['things']}.",
        result,
    )


def _end(rng: random.Random, words: dict, story: Story) -> Story:
    """Return a story with its question, which may need one more step."""
    text, solution, total = story
    factors = [n for n in range(2, 10) if total % n == 0 and total > n]
    kind = rng.random()
    if kind < 0.25 and factors:
        n = rng.choice(factors)
        question = rng.choice(
            (
                "{She} puts them equally into {n} {boxes}. How many {things} are in each?",
                "{n} friends share all the {things} equally. How many does each friend get?",
            )
        )
        step = f"Shared equally, {total} / {n} = {total // n} {words['things']} are in each part."
        return f"{text} {question.format(n=n, **words)}", f"{solution} {step}", total // n
    if kind < 0.45 and total * 2 <= _MOST:
        n = rng.randint(2, min(5, _MOST // total))
        question = "{She} sells all the {things} for {n} dollars each. How many dollars is that?"
        step = f"At {n} dollars each, that is {total} * {n} = {total * n} dollars."
        return f"{text} {question.format(n=n, **words)}", f"{solution} {step}", total * n
    question = rng.choice(
        (
            "How many {things} are there now?",
            "How many {things} are there in the end?",
            "What is the number of {things} now?",
        )
    )
    return f"{text} {question.format(**words)}", solution, total
