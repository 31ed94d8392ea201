"""What a difference between methods on the same rows is worth, in the metric that counts.

Pure functions of answers; a row that one of them has not answered is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softprompt.evaluation import (
    paired,
    score_classification,
    score_generation,
    score_rows,
    swapped,
    value,
)
from softprompt.evaluation.metrics.chrf import chrf_of_rows

__all__ = ["LEVEL", "can_tell", "guessing_p_value", "macro_f1_of_rows", "p_value", "shared_scores"]

Score = Callable[[NDArray[np.int64]], float]
"""From places of rows to the metric of these rows."""

LEVEL = 0.05
"""Differences that chance makes more often than this do not count."""

_ORDERS = 2000
"""In which answers are given to rows that they are not of."""

_GAIN = 0.1
"""That test rows must be able to show beyond chance before they tell anything."""


def can_tell(rows: int) -> bool:
    """Whether a gain of ten points on so many rows, and a loss on none, would be beyond chance: as
    many heads or tails in a row."""
    return bool(2.0 ** (1 - _GAIN * rows) < LEVEL)


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
    shared = _shared(references, [one, other])
    if shared is None:
        return None
    right, (first, second) = shared
    whole = _of_whole(labels, metric)
    if whole is not None:
        return swapped(len(right), whole(right * 2, first + second))
    scores = [_by_row(labels, metric, right, given, demands) for given in (first, second)]
    return paired(scores[0], scores[1])


def guessing_p_value(
    labels: Sequence[str], metric: str, references: Sequence[str], answers: Sequence[str | None]
) -> float | None:
    """The chance that answers which have nothing to do with the rows score so high.

    The same answers are given to the rows in another order, again and again (a permutation test of
    independence, Good 2005): an answer that is the same for all rows scores the same in each, and
    so do answers of a coin within what its throws make of it. That these may be better than one
    answer throughout, by macro-F1 mostly, tells nothing.

    Args:
        labels: of the choices; empty for free text.
        metric: name; for another one than macro-F1 the share of right answers counts.
        references: right answers.
        answers: given answers, in the same order.

    Returns:
        None for free text, or where no row was answered.
    """
    shared = _shared(references, [answers]) if labels else None
    if shared is None:
        return None
    right, (given,) = shared
    places = {label: place for place, label in enumerate(labels)}
    count = len(places)
    gold_N = np.array([places[label] for label in right])
    given_N = np.array([places.get(label, count) for label in given])
    sizes = np.bincount(gold_N, minlength=count) + np.bincount(given_N, minlength=count + 1)[:count]
    # With the shares of answers as they are, both metrics are sums over the rows that are right.
    worth = 1 / np.maximum(sizes, 1) if metric == "macro_f1" else np.ones(count)

    def score(answers_N: NDArray[np.int64]) -> float:
        return float(worth[gold_N[answers_N == gold_N]].sum())

    own = score(given_N) - 1e-9
    draws = np.random.default_rng(0)
    as_high = sum(score(draws.permutation(given_N)) >= own for _ in range(_ORDERS))
    return (1 + as_high) / (1 + _ORDERS)


def shared_scores(
    labels: Sequence[str],
    metric: str,
    references: Sequence[str],
    answers: Sequence[Sequence[str | None]],
    demands: Mapping[str, Any] | None = None,
) -> list[float] | None:
    """The metric of several methods on the rows that all of them have answered.

    Args:
        labels, metric, references, demands: as for `p_value`.
        answers: of each method, in the order of the references.

    Returns:
        None where there is no such row.
    """
    shared = _shared(references, answers)
    if shared is None:
        return None
    right, answered = shared
    return [
        value(
            score_classification(right, given, labels)
            if labels
            else score_generation(right, given, demands=demands),
            metric,
        )
        for given in answered
    ]


def _shared(
    references: Sequence[str], answers: Sequence[Sequence[str | None]]
) -> tuple[list[str], list[list[str]]] | None:
    """Right answers and those of each method to the rows that all have answered; None without."""
    if any(len(given) != len(references) for given in answers):
        return None
    rows = [row for row in zip(references, *answers, strict=True) if None not in row]
    if not rows:
        return None
    right, *others = ([str(text) for text in column] for column in zip(*rows, strict=True))
    return right, others


def _of_whole(labels: Sequence[str], metric: str) -> Callable[..., Score] | None:
    """What scores sets of rows, for a metric that is no mean over rows; None for one that is."""
    if metric == "macro_f1" and labels:
        return partial(macro_f1_of_rows, labels)
    return chrf_of_rows if metric == "chrf" and not labels else None


def _by_row(
    labels: Sequence[str],
    metric: str,
    right: Sequence[str],
    given: Sequence[str],
    demands: Mapping[str, Any] | None,
) -> list[float]:
    if labels:
        return [float(a == b) for a, b in zip(right, given, strict=True)]
    return score_rows(right, given, metric, demands=demands)


def macro_f1_of_rows(
    labels: Sequence[str], references: Sequence[str], answers: Sequence[str]
) -> Score:
    """From places of rows to the mean over the labels of 2 TP / (2 TP + FP + FN), 0 without any.

    An answer that is none of the labels is wrong.
    """
    places = {label: place for place, label in enumerate(labels)}
    count = len(places)
    columns = count + 1
    pairs = np.array(
        [
            places[a] * columns + places.get(b, count)
            for a, b in zip(references, answers, strict=True)
        ]
    )

    def score(rows: NDArray[np.int64]) -> float:
        table = np.bincount(pairs[rows], minlength=count * columns).reshape(count, columns)
        both = table.sum(0)[:count] + table.sum(1)
        return float((2 * np.diag(table) / np.maximum(both, 1)).mean())

    return score
