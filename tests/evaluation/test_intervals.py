"""Intervals by bootstrap."""

import math
import random
import statistics

import pytest

from evaluation.intervals import bootstrap


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
