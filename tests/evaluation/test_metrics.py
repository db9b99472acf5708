"""Metrics of sampled responses against brute force, closed forms and hand-worked numbers."""

import itertools
import math
import random
import statistics

import pytest
from groups import make_group

from evaluation.metrics import (
    accuracies,
    best_of,
    compute_metrics,
    majority_votes,
    pass_at,
    pass_counts,
)
from generation.groups import Group
from verifiers import Verifier


def of_rewards(rewards: list[float]) -> Group:
    return make_group(["1" if reward else "0" for reward in rewards], "1")


@pytest.fixture(scope="module")
def verifier():
    with Verifier(num_workers=1) as verifier:
        yield verifier


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_pass_at_k_is_the_share_of_subsets_with_a_right_response(n):
    for right in range(n + 1):
        rewards = [1.0] * right + [0.0] * (n - right)
        for k in range(1, n + 1):
            subsets = [max(subset) for subset in itertools.combinations(rewards, k)]
            [estimate] = pass_at(k, [of_rewards(rewards)])
            assert estimate == pytest.approx(statistics.fmean(subsets))
            product = math.prod((n - right - i) / (n - i) for i in range(k))
            assert estimate == pytest.approx(1 - product)  # the closed form
    assert pass_at(1, [of_rewards([1.0, 0.0, 0.0, 0.0])]) == accuracies([of_rewards([1, 0, 0, 0])])


def test_pass_counts():
    assert [pass_counts(n) for n in (2, 3, 8, 12)] == [[2], [2, 3], [2, 4, 8], [2, 4, 8, 12]]


def test_partial_code_rewards_do_not_pass():
    group = of_rewards([1.0, 0.0])
    partial = Group(**{**group.__dict__, "outcome_rewards": [0.9, 0.0]})
    assert pass_at(2, [partial]) == [0.0] and accuracies([partial]) == [0.45]


@pytest.mark.parametrize(
    ("answers", "truth", "value"),
    [
        (["1", "2", "2"], "2", 1.0),
        (["1", "1", "2"], "2", 0.0),
        (["1", "2"], "2", 0.5),  # a tie: as often right as wrong
        (["3", "1", "2"], "4", 0.0),
        ([None, None, "2"], "2", 1.0),  # no answer, no vote
        ([None, None], "2", 0.0),
        (["0.5", "2", "\\frac{1}{2}", "2", "1/2"], "0.5", 1 / 3),  # equal in other writings
    ],
)
def test_majority_votes_of_one_problem(verifier, answers, truth, value):
    [vote] = majority_votes([make_group(answers, truth)], verifier)
    assert vote == pytest.approx(value)


def test_majority_votes_of_many_problems_are_those_of_each(verifier):
    rng = random.Random(0)
    answers = ["1", "1.0", "2", "\\frac{4}{2}", "3", "x+1", "1+x", None]
    groups = [make_group(rng.choices(answers, k=6), rng.choice("123")) for _ in range(40)]
    alone = [majority_votes([group], verifier)[0] for group in groups]
    assert majority_votes(groups, verifier) == alone
    assert 0 < statistics.fmean(alone) < 1
    fields = ("responses", "outcome_rewards")
    shuffled = [
        Group(**{**g.__dict__, **{name: getattr(g, name)[::-1] for name in fields}}) for g in groups
    ]
    assert majority_votes(shuffled, verifier) == pytest.approx(alone)  # the order means nothing


def test_best_of_takes_the_response_with_the_highest_score():
    groups = [of_rewards([0.0, 1.0, 0.0]), of_rewards([1.0, 0.0, 0.0])]
    assert best_of(groups, [[-1.0, 2.0, 1.0], [0.0, 0.1, -5.0]]) == [1.0, 0.0]
    assert best_of(groups, [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]) == [0.0, 1.0]  # the first of equals


def test_metrics_that_the_responses_allow(verifier):
    one = compute_metrics([of_rewards([1.0])], None, verifier)
    assert one == {"accuracy": [1.0]}
    groups = [of_rewards([1.0, 0.0, 0.0]), of_rewards([0.0, 0.0, 0.0])]
    scores = [{"sums": [0.1, 0.0, -1.0], "minima": [-3.0, -1.0, -2.0]}] * 2
    metrics = compute_metrics(groups, scores, verifier)
    assert metrics == {
        "accuracy": pytest.approx([1 / 3, 0.0]),
        "pass@2": pytest.approx([2 / 3, 0.0]),
        "pass@3": [1.0, 0.0],
        "majority of 3": [0.0, 0.0],
        "best of 3 by the PRM's sum": [1.0, 0.0],
        "best of 3 by the PRM's least step": [0.0, 0.0],
    }
    code = [make_group(["1", "2"], "1", ability="code")]
    assert "majority of 2" not in compute_metrics(code, None, verifier)
