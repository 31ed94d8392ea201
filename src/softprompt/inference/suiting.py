"""Labels that suit the metric a task is judged by (see `softprompt.evaluation.adjustment`).

Whatever learns is chosen by and judged by the same rule: prompts, adapters, whole models.

Shapes: N rows.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softprompt.evaluation import (
    best_score,
    fit_adjustment,
    likeliest_suits,
    score_classification,
    value,
)
from softprompt.inference.answers import Answers, measure
from softprompt.inference.rows import Encoded
from softprompt.tasks import Task

__all__ = ["adjustment_for", "suited_score"]


def adjustment_for(
    task: Task, encoded: Encoded, answers: Answers, metric: str
) -> tuple[float, ...]:
    """What makes labels fit a metric better than the likeliest ones do; empty where nothing does.

    Args:
        task: whose training rows say how frequent each label is.
        encoded: held-out rows.
        answers: to them, at their temperature.
        metric: to be made as high as possible.
    """
    chances = answers.probabilities
    if chances is None or likeliest_suits(metric):
        return ()
    most = max(1.0, 1.0 / answers.temperature)
    return fit_adjustment(chances, *_judged(task, encoded, metric), most=most)


def suited_score(task: Task, encoded: Encoded, answers: Answers, metric: str) -> float:
    """How good answers are with the labels that suit the metric best; higher is better.

    Steps, candidates and learning rates are chosen by it: what is kept is adjusted in the end.

    Args:
        task, encoded, answers, metric: as for `adjustment_for`.
    """
    chances = answers.probabilities
    if chances is None or likeliest_suits(metric):
        return value(measure(task, encoded, answers), metric)
    return best_score(chances, *_judged(task, encoded, metric))


def _judged(task: Task, encoded: Encoded, metric: str) -> tuple[list[int], list[int], Any]:
    """The right labels of rows, training rows with each label, and how good given labels are."""
    labels = task.labels

    def named(places_N: NDArray[np.int64]) -> list[str]:
        return [labels[place] for place in places_N]

    def score(gold_N: NDArray[np.int64], given_N: NDArray[np.int64]) -> float:
        return value(score_classification(named(gold_N), named(given_N), labels), metric)

    counts = Counter(str(row.answer) for row in task.train)
    gold = [labels.index(str(row.answer)) for row in encoded.rows]
    return gold, [counts[label] for label in labels], score
