"""Confidence intervals by bootstrap: the mean over problems, and how sure it is."""

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
    resampled = np.mean([_resampled_means(values) for values in sets], axis=0)
    low, high = np.quantile(resampled, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Figure(float(np.mean([np.mean(values) for values in sets])), float(low), float(high))


def _resampled_means(values: Sequence[float]) -> np.ndarray:
    """Return the means of resamples (_RESAMPLES,), the same on every call."""
    counts = np.random.default_rng(0).multinomial(
        len(values), [1 / len(values)] * len(values), size=_RESAMPLES
    )  # (_RESAMPLES, problems): how often each problem is drawn
    return counts @ np.asarray(values, dtype=float) / len(values)
