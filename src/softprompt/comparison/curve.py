"""Learning curves over the number of training rows, and the rows that one method saves another.

Pure functions. A score between two measured sizes is read off the straight line between them over
the logarithm of the rows; where a curve falls, the best score up to there counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

__all__ = ["rows_for", "rows_saved"]

Point = tuple[int, float]


def rows_for(curve: Sequence[Point], score: float) -> tuple[float | None, str]:
    """How many rows a curve needs for a score.

    Args:
        curve: rows and score, at least one.
        score: to reach.

    Returns:
        the rows and `exact`; the fewest measured and `at_most` where these reach it already; None
        and `more_than` where all measured rows do not.
    """
    points = _rising(curve)
    if score <= points[0][1]:
        return float(points[0][0]), "at_most"
    for (rows, low), (more, high) in pairwise(points):
        if score <= high:
            share = (score - low) / (high - low)
            return math.exp(math.log(rows) + share * (math.log(more) - math.log(rows))), "exact"
    return None, "more_than"


def rows_saved(curves: Mapping[str, Sequence[Point]], reference: str) -> dict[str, list[Any]]:
    """By method, for each of its sizes: how many rows the reference needs for the same score.

    Args:
        curves: rows and score of each method.
        reference: whose rows are counted.

    Returns:
        `rows`, `score`, `reference_rows` (None where all do not reach it), `bound`, and `saved`,
        the method's rows minus the reference's: above 0 where the reference needs fewer.
    """
    own = curves.get(reference)
    if not own:
        return {}
    found: dict[str, list[Any]] = {}
    for name, curve in curves.items():
        if name == reference or len(curve) < 2:
            continue
        found[name] = []
        for rows, score in sorted(curve):
            needed, bound = rows_for(own, score)
            entry = {"rows": rows, "score": score, "reference_rows": needed, "bound": bound}
            found[name].append({**entry, "saved": None if needed is None else rows - needed})
    return found


def _rising(curve: Sequence[Point]) -> list[Point]:
    """The curve by size, each point as high as the best before it."""
    found: list[Point] = []
    for rows, score in sorted(curve):
        found.append((rows, max(score, found[-1][1]) if found else score))
    return found
