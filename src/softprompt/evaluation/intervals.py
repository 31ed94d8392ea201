"""Intervals and a paired test, so that a difference is not taken for more than it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["bootstrap", "mcnemar", "paired", "swapped", "widened", "wilson"]


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927), through scipy.

    Args:
        successes: 0 to n.
        n: at least 1.
        level: of confidence, a fraction.
    """
    interval = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def bootstrap(
    values: Sequence[float],
    statistic: Callable[..., Any] = np.mean,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic of values, through scipy (1,000 resamples).

    Args:
        values: at least one; of a single value there is no spread, the interval is that point.
        statistic: from values (and `axis`, where it takes one) to a number.
        level: of confidence, a fraction.
        seed: of resampling.
    """
    sample = np.asarray(values, float)
    if len(sample) == 1:
        point = float(statistic(sample))
        return point, point
    result = stats.bootstrap(
        (sample,),
        statistic,
        confidence_level=level,
        n_resamples=1000,
        batch=100,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def widened(bounds: tuple[float, float], n: int) -> list[float]:
    """An interval of resamples of n rows, or Wilson's where all resamples come to the same.

    Five rows that are all right resample to nothing but right ones, and yet five others need not
    all be.

    Args:
        bounds: of a score from 0 to 1.
        n: rows, at least one.
    """
    low, high = bounds
    if low < high:
        return [low, high]
    least, most = wilson(round(low * n), n)
    return [min(low, least), max(high, most)]


def mcnemar(first_right: Sequence[bool], second_right: Sequence[bool]) -> float:
    """Exact p-value that two answerers of the same rows are equally good (McNemar 1947).

    Args:
        first_right: whether each row was answered rightly by the first.
        second_right: the same rows by the second.
    """
    only_first = sum(a and not b for a, b in zip(first_right, second_right, strict=True))
    only_second = sum(b and not a for a, b in zip(first_right, second_right, strict=True))
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second).pvalue)


def paired(first: Sequence[float], second: Sequence[float], seed: int = 0) -> float:
    """P-value that two answerers of the same rows are equally good: signs of the differences are
    flipped at random (Fisher 1935), through scipy (9,999 resamples).

    Args:
        first, second: scores of the same rows, at least one.
        seed: of resampling.
    """
    differences = np.asarray(first, float) - np.asarray(second, float)
    if len(differences) < 2 or not differences.any():
        return 1.0
    result = stats.permutation_test(
        (differences,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        batch=1000,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def swapped(n: int, score: Callable[[NDArray[np.int64]], float], seed: int = 0) -> float:
    """P-value that two answerers of the same rows are equally good, for scores that are no means.

    The two change places on each row by the toss of a coin, 1,999 times (Noreen 1989, chapter 2):
    the share of tosses, the answers as they are among them, with a difference as large.

    Args:
        n: rows, at least one.
        score: from n places to a score; places below n are rows as the first answered them, n above
            as the second did.
        seed: of the tosses.
    """
    rng = np.random.default_rng(seed)
    rows = np.arange(n)

    def difference(sides: NDArray[np.int64]) -> float:
        return abs(score(rows + n * sides) - score(rows + n * (1 - sides)))

    tosses = 1999
    found = difference(np.zeros(n, np.int64)) - _ROUNDING
    as_large = sum(difference(rng.integers(0, 2, n)) >= found for _ in range(tosses))
    return float((1 + as_large) / (1 + tosses))


_ROUNDING = 1e-12
"""Differences of the same rows in another order may differ by so much."""
