"""Intervals by bootstrap."""

import itertools
import math
import random
import statistics

import pytest

from evaluation.intervals import bootstrap, error_by_problem, error_by_sample


def test_bootstrap_gives_the_mean_and_an_interval_that_shrinks_with_the_root_of_n():
    rng = random.Random(0)
    values = [float(rng.random() < 0.3) for _ in range(400)]
    figure = bootstrap([values])
    mean = statistics.fmean(values)
    deviation = math.sqrt(mean * (1 - mean) / 400)
    assert figure.value == pytest.approx(mean)
    assert figure.low == pytest.approx(mean - 1.96 * deviation, abs=0.006)
    assert figure.high == pytest.approx(mean + 1.96 * deviation, abs=0.006)
    assert bootstrap([values]) == figure  # no chance from call to call
    assert bootstrap([[1.0, 1.0]]).low == bootstrap([[1.0, 1.0]]).high == 1.0


def test_an_average_weighs_benchmarks_alike_whatever_their_size():
    small, large = [1.0, 0.0], [0.0] * 300
    figure = bootstrap([small, large])
    assert figure.value == 0.25
    assert (figure.low, figure.high) == (0.0, 0.5)  # all the doubt is about the small one


def test_benchmarks_of_one_size_are_resampled_apart():
    """Where one has 1, the other has 0: of problems drawn together the average never changes."""
    values = [1.0, 0.0] * 200
    figure = bootstrap([values, [1 - value for value in values]])
    assert figure.high - figure.low == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(800), rel=0.1)


def weigh(outcome: tuple, chances: list[float]) -> float:
    """Return the probability of K values per problem, each 1 with its problem's chance."""
    factors = [p if value else 1 - p for own, p in zip(outcome, chances) for value in own]
    return math.prod(factors)


def test_the_squared_error_by_sample_is_right_on_average():
    """Over all ways in which two problems can be answered twice."""
    chances = [0.3, 0.8]
    outcomes = list(itertools.product(itertools.product((0.0, 1.0), repeat=2), repeat=2))
    average = sum(weigh(o, chances) * error_by_sample([o]) ** 2 for o in outcomes)
    means = [statistics.fmean(map(statistics.fmean, o)) for o in outcomes]
    expected = sum(weigh(o, chances) * (mean - 0.55) ** 2 for o, mean in zip(outcomes, means))
    assert average == pytest.approx(expected) == pytest.approx((0.21 + 0.16) / 2 / 2**2)


def test_the_squared_error_by_problem_is_right_on_average():
    """Over all ways to draw three problems out of two kinds and to answer them twice."""
    kinds, draws = (0.2, 0.9), list(itertools.product((0.2, 0.9), repeat=3))
    outcomes = list(itertools.product(itertools.product((0.0, 1.0), repeat=2), repeat=3))
    average = expected = 0.0
    for chances, outcome in itertools.product(draws, outcomes):
        weight = weigh(outcome, chances) / len(draws)
        average += weight * error_by_problem([outcome]) ** 2
        mean = statistics.fmean(map(statistics.fmean, outcome))
        expected += weight * (mean - statistics.fmean(kinds)) ** 2
    assert average == pytest.approx(expected)


def test_errors_of_several_benchmarks_and_of_one_problem():
    sets = [[[1.0, 0.0], [1.0, 1.0]], [[0.0, 1.0]]]
    assert error_by_problem(sets[:1]) == pytest.approx(0.25)  # means 1/2 and 1: deviation 1/sqrt 8
    assert math.isnan(error_by_problem(sets))  # nobody knows how far other problems lie
    assert error_by_sample(sets) == pytest.approx(math.sqrt(1 / 16 + 1 / 4) / 2)
