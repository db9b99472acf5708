"""How sure a mean over problems is: intervals by bootstrap, standard errors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_RESAMPLES = 2_000  # bootstrap resamples of the problems
_LEVEL = 0.95


@dataclass(frozen=True)
class Figure:
    """A mean over problems and its 95 % confidence interval, in the unit of the values."""

    value: float
    low: float
    high: float


def bootstrap(sets: Sequence[Sequence[float]]) -> Figure:
    """Return the mean of the sets' means, with its percentile interval over resampled problems.

    Args:
        sets: for each benchmark one value per problem. Each benchmark is resampled on its own.
    """
    resampled = np.mean([_resampled_means(own, number) for number, own in enumerate(sets)], axis=0)
    low, high = np.quantile(resampled, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Figure(float(np.mean([np.mean(values) for values in sets])), float(low), float(high))


def _resampled_means(values: Sequence[float], seed: int) -> np.ndarray:
    """Return the means of resamples (_RESAMPLES,), the same on every call with a seed."""
    counts = np.random.default_rng(seed).multinomial(
        len(values), [1 / len(values)] * len(values), size=_RESAMPLES
    )  # (_RESAMPLES, problems): how often each problem is drawn
    return counts @ np.asarray(values, dtype=float) / len(values)


def error_by_problem(sets: Sequence[Sequence[Sequence[float]]]) -> float:
    """Return the standard error of the mean of the sets' means, were other problems drawn.

    sqrt(sum over sets of s^2 / n) / sets, where s^2 is the variance of the means of a set's n
    problems. It has the chance of the responses in it. NaN if a set has one problem.

    Args:
        sets: for each benchmark K values per problem.
    """
    means = [np.mean(values, axis=1) for values in sets]
    squares = [np.var(own, ddof=1) / len(own) if len(own) > 1 else np.nan for own in means]
    return float(np.sqrt(np.sum(squares)) / len(sets))


def error_by_sample(sets: Sequence[Sequence[Sequence[float]]]) -> float:
    """Return the standard error of the mean of the sets' means, were they answered again.

    sqrt(sum over sets of (sum over problems of s_i^2 / K) / n^2) / sets, where s_i^2 is the
    variance of the K values of problem i. The problems stay the same.

    Args:
        sets: for each benchmark K values per problem, 2 or more.
    """
    squares = [np.sum(np.var(own, axis=1, ddof=1)) / np.size(own) / len(own) for own in sets]
    return float(np.sqrt(np.sum(squares)) / len(sets))
