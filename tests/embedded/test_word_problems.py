"""The word problems: right answers, sound steps, splits that share nothing."""

import re

import pytest

import data
from embedded import word_problems

CALCULATE = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a // b,
}


def test_every_step_of_a_solution_is_right_and_starts_from_a_number_of_the_problem():
    for row in word_problems.split_rows("sft"):
        problem, solution = row["prompt"], row["response"]
        answer = int(re.fullmatch(r".*\. The answer is \\boxed\{(\d+)\}\.", solution)[1])
        steps = re.findall(r"(\d+) ([-+*/]) (\d+) = (\d+)", solution)
        known = set(map(int, re.findall(r"\d+", problem)))
        for first, sign, second, result in steps:
            first, second, result = int(first), int(second), int(result)
            assert CALCULATE[sign](first, second) == result and {first, second} <= known
            assert sign != "/" or first % second == 0
            assert result > 0
            known.add(result)
        assert 2 <= len(steps) <= 4 and int(steps[-1][3]) == answer
        assert 0 < answer < 100 and "{" not in problem


def test_splits_are_the_same_every_time_and_share_no_problem():
    rows = {split: word_problems.split_rows(split) for split in word_problems.SPLIT_SIZES}
    assert {split: len(own) for split, own in rows.items()} == word_problems.SPLIT_SIZES
    assert rows["test"]["prompt"] == word_problems.split_rows("test")["prompt"]
    texts = {split: set(own["prompt"]) for split, own in rows.items()}
    assert all(len(texts[split]) == len(rows[split]) for split in texts)
    assert not texts["test"] & (texts["train"] | texts["sft"])


def test_they_are_data_by_name():
    row = data.load_rows("word-problems", "test", "TRAIN_DATA")[0]
    assert row["reward_model"]["ground_truth"].isdigit() and row["ability"] == "math"
    with pytest.raises(data.UserError, match="split 'valid'"):
        data.load_rows("word-problems", "valid", "EVAL_DATA")
