"""What a difference between two methods on the same rows is worth, in the metric that counts.

Pure functions of answers; a row that either has not answered is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softprompt.evaluation import paired, score_generation, swapped, value
from softprompt.evaluation.metrics.chrf import chrf_of_rows

__all__ = ["LEVEL", "macro_f1_of_rows", "p_value"]

LEVEL = 0.05
"""Differences that chance makes more often than this do not count."""


def p_value(
    labels: Sequence[str],
    metric: str,
    references: Sequence[str],
    one: Sequence[str | None],
    other: Sequence[str | None],
    demands: Mapping[str, Any] | None = None,
) -> float | None:
    """The chance of so large a difference in the metric between two that are equally good.

    The two change places on some of the rows, again and again (see `softprompt.evaluation`): for
    metrics that are means over rows by the signs of the rows' differences, for macro-F1 and chrF by
    the metric of all rows.

    Args:
        labels: of the choices; empty for free text.
        metric: name.
        references: right answers.
        one, other: given answers, in the same order.
        demands: of the task on free text (see `Task.demands`).

    Returns:
        None where no row was answered by both.
    """
    if not len(references) == len(one) == len(other):
        return None
    rows = [
        (a, b, c)
        for a, b, c in zip(references, one, other, strict=True)
        if b is not None and c is not None
    ]
    if not rows:
        return None
    right, first, second = ([row[part] for row in rows] for part in range(3))
    if metric == "macro_f1" and labels:
        return swapped(len(rows), macro_f1_of_rows(labels, right * 2, first + second))
    if labels:
        return paired(_hits(right, first), _hits(right, second))
    if metric == "chrf":
        return swapped(len(rows), chrf_of_rows(right * 2, first + second))
    scores = [_by_row(right, given, metric, demands) for given in (first, second)]
    return paired(scores[0], scores[1])


def _hits(right: Sequence[str], given: Sequence[str]) -> list[float]:
    return [float(a == b) for a, b in zip(right, given, strict=True)]


def _by_row(
    right: Sequence[str], given: Sequence[str], metric: str, demands: Mapping[str, Any] | None
) -> list[float]:
    pairs = zip(right, given, strict=True)
    return [value(score_generation([a], [b], demands=demands), metric) for a, b in pairs]


def macro_f1_of_rows(
    labels: Sequence[str], references: Sequence[str], answers: Sequence[str]
) -> Callable[[NDArray[np.int64]], float]:
    """From places of rows to the mean over the labels of 2 TP / (2 TP + FP + FN), 0 without any."""
    places = {label: place for place, label in enumerate(labels)}
    count = len(places)
    pairs = np.array(
        [places[a] * count + places[b] for a, b in zip(references, answers, strict=True)]
    )

    def score(rows: NDArray[np.int64]) -> float:
        table = np.bincount(pairs[rows], minlength=count * count).reshape(count, count)
        both = table.sum(0) + table.sum(1)
        return float((2 * np.diag(table) / np.maximum(both, 1)).mean())

    return score
