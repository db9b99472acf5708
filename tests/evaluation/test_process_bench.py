"""ProcessBench: which step a rule names, F1, the best threshold, the tokens of steps."""

import numpy as np
import pytest
from transformers import AutoTokenizer

from evaluation import process_bench
from evaluation.process_bench import RULES, choose_threshold, find_steps, measure

REWARDS = [[1.0, -1.0, -2.0], [2.0, 3.0], [1.0, -0.5], [-3.0, 4.0], [0.5, 1.0]]
LABELS = [1, -1, -1, 0, 1]


def test_the_first_and_the_least_step_below_the_threshold():
    first, least = (
        [name(own, 0.0) for own in REWARDS] for name in (RULES["first step"], RULES["least step"])
    )
    assert first == [1, -1, 1, 0, -1]
    assert least == [2, -1, 1, 0, -1]
    assert RULES["first step"]([0.0], 0.0) == RULES["least step"]([0.0], 0.0) == -1
    assert RULES["least step"]([-1.0, -1.0], 0.0) == 0
    assert measure(first, LABELS) == pytest.approx((2 / 3, 1 / 2, 4 / 7))
    assert measure(least, LABELS) == pytest.approx((1 / 3, 1 / 2, 2 / 5))
    assert measure([0, 0, 0, 1, 0], LABELS) == (0.0, 0.0, 0.0)
    assert process_bench.describe(REWARDS, LABELS, 0.0) == [
        "first step below 0: 66.7 % of solutions with a wrong step, 50.0 % of right ones, F1 57.1; "
        "best threshold here -0.75, F1 80.0",
        "least step below 0: 33.3 % of solutions with a wrong step, 50.0 % of right ones, F1 40.0; "
        "best threshold here -2.5, F1 50.0",
    ]


@pytest.mark.parametrize("rule", RULES)
def test_no_threshold_is_better_than_the_chosen_one(rule):
    draw = np.random.default_rng(0)
    for _ in range(20):
        rewards = [draw.integers(-3, 4, draw.integers(1, 5)).tolist() for _ in range(8)]
        labels = [-1, 0, *(int(draw.integers(-1, len(own))) for own in rewards[2:])]
        scores = {
            threshold: measure([RULES[rule](own, threshold) for own in rewards], labels)[2]
            for threshold in np.arange(-3.5, 4.5, 0.5).tolist()
        }
        threshold, f1 = choose_threshold(rewards, labels, rule)
        assert f1 == pytest.approx(max(scores.values()))
        assert measure([RULES[rule](own, threshold) for own in rewards], labels)[2] == f1


def test_the_tokens_of_the_steps(byte_model):
    tokenizer = AutoTokenizer.from_pretrained(byte_model)  # a token for each byte
    assert find_steps(["ab", "c\nd"], tokenizer, 8) == [(0, 4), (4, 8)]
    assert find_steps(["é", "x", "yz"], tokenizer, 10) == [(0, 4), (4, 7), (7, 10)]
    assert find_steps(["abc"], tokenizer, 4) == [(0, 4)]
