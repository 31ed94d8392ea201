"""Methods side by side: what each scored, what it cost, what differences are worth, what to choose.

Pure functions of what was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softprompt.comparison.methods import METHODS
from softprompt.evaluation import default_metric, paired, resampled, score_generation, value
from softprompt.tasks import Task

__all__ = ["report"]

LEVEL = 0.05
"""Differences that chance makes more often than this do not count."""

REFERENCE = "soft_prompt"


def report(
    task: Task, results: Mapping[str, Mapping[str, Any]], errors: Mapping[str, str]
) -> dict[str, Any]:
    """The report.

    Args:
        task: whose test rows were answered.
        results: what was measured, by method (see `Measured`).
        errors: why others have no result.

    Returns:
        `metric`, `methods` (by name: `test`, `p_value` against the soft prompt, `validation`,
        `trainable_parameters`, `stored_bytes`, `seconds`, `peak_memory_bytes`, `details`),
        `errors`, and `recommendation` (`method`, `best`, `p_value` between the two, `points`).
    """
    metric = default_metric(task.kind)
    references = [str(row.answer) for row in task.test]
    methods: dict[str, Any] = {}
    for name, result in results.items():
        other = results.get(REFERENCE)
        methods[name] = {
            "test": result["test"],
            "p_value": _p_value(task, references, result, other) if other else None,
            "validation": result["validation"],
            "trainable_parameters": result["trainable"],
            "stored_bytes": result["stored_bytes"],
            "seconds": result["seconds"],
            "peak_memory_bytes": result["peak_memory_bytes"],
            "details": result["details"],
        }
    return {
        "metric": metric,
        "methods": methods,
        "errors": dict(errors),
        "recommendation": _recommendation(task, references, results, metric),
    }


def _p_value(
    task: Task, references: Sequence[str], one: Mapping[str, Any], other: Mapping[str, Any]
) -> float | None:
    """The chance of so large a difference in the metric between two that are equally good; None
    where the same rows were not answered."""
    if one is other:
        return None
    given = [result["answers"] for result in (one, other)]
    if any(len(answers) != len(references) for answers in given):
        return None
    if task.choices:
        first, second = (_macro_f1(task.labels, references, answers) for answers in given)
        return resampled(len(references), first, second)
    name = default_metric(task.kind)
    one_by_one, other_by_one = (
        [value(score_generation([a], [b]), name) for a, b in zip(references, x, strict=True)]
        for x in given
    )
    return paired(one_by_one, other_by_one)


def _macro_f1(
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


def _recommendation(
    task: Task,
    references: Sequence[str],
    results: Mapping[str, Mapping[str, Any]],
    metric: str,
) -> dict[str, Any] | None:
    """The cheapest method that the best one does not beat beyond chance."""
    if not results:
        return None
    scores = {name: value(result["test"], metric) for name, result in results.items()}
    best = max(scores, key=lambda name: scores[name])
    for name in sorted(results, key=lambda name: METHODS.get(name).cost):
        chance = _p_value(task, references, results[name], results[best])
        if name == best or (chance is not None and chance >= LEVEL):
            return {
                "method": name,
                "best": best,
                "p_value": chance,
                "points": round(100 * (scores[best] - scores[name]), 3),
            }
    return None
