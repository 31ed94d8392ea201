"""The metric of a set of answers: always the same shape, fractions, plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softprompt.errors import DataError, UsageError, nearest
from softprompt.evaluation.metrics import METRICS, Answered
from softprompt.locale import _

__all__ = [
    "default_metric",
    "interval_of",
    "likeliest_suits",
    "score_classification",
    "score_generation",
    "score_rows",
    "score_slices",
    "value",
]


def score_classification(
    references: Sequence[str],
    predictions: Sequence[str],
    labels: Sequence[str],
    probabilities: NDArray[np.float64] | None = None,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """`n`, `accuracy`, `macro_f1`, `interval`, ... of labels against right labels.

    Args:
        references: right labels, n of them.
        predictions: given labels, n of them.
        labels: all labels, in order.
        probabilities: [n, C] of each label, for the calibration error.
        seed: of the bootstrap.

    Raises:
        DataError: there are no rows, not one prediction per reference, or a label unknown.
    """
    for name in (*references, *predictions):
        if name not in labels:
            raise DataError(_("Unknown label {label!r}.").format(label=name), nearest(name, labels))
    assert probabilities is None or probabilities.shape == (len(references), len(labels))
    answered = Answered(references, predictions, labels, probabilities, seed)
    return _score(answered, _of_kind("classification"))


def score_generation(
    references: Sequence[str],
    predictions: Sequence[str],
    *,
    demands: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """`n`, `exact_match`, `interval`, `token_f1`, `chrf`, `rouge1`, `rougeL` of free answers.

    A metric whose library is missing is left out, and `skipped` says how to get it.

    Args:
        references: right answers, n of them.
        predictions: given answers, n of them.
        demands: of the task (`Task.demands`): with `format` there is `format_adherence`, with
            `terms` there is `term_adherence`.
        seed: of the bootstrap.

    Raises:
        DataError: there are no rows, or not one prediction per reference.
    """
    answered = Answered(references, predictions, seed=seed, demands=demands or {})
    return _score(answered, _of_kind("generation"))


def score_rows(
    references: Sequence[str],
    predictions: Sequence[str],
    name: str,
    *,
    demands: Mapping[str, Any] | None = None,
) -> list[float]:
    """One entry of `score_generation` for each row by itself; other metrics are not computed.

    Raises:
        UsageError: there is no such entry to choose by, or its library is not installed.
    """
    fitting = [m for m in _of_kind("generation") if name in METRICS.get(m).selects]
    found = []
    for pair in zip(references, predictions, strict=True):
        one = Answered(pair[:1], pair[1:], demands=demands or {})
        found.append(value(_score(one, fitting), name))
    return found


def score_slices(
    values: Sequence[str], score: Callable[[Sequence[int]], dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """A metric for the rows of each value of a column.

    Args:
        values: the column's value of every row.
        score: from places of rows to their metric.
    """
    places: dict[str, list[int]] = {}
    for place, name in enumerate(values):
        places.setdefault(name, []).append(place)
    return {name: score(places[name]) for name in sorted(places)}


def value(metric: Mapping[str, Any], name: str) -> float:
    """The number that a prompt is chosen by; higher is better.

    The calibration error is refused: it falls as answers get better calibrated, right or wrong.

    Raises:
        UsageError: the metric has no such number, it is none to choose by, or its library is not
            installed.
    """
    for absent, cure in metric.get("skipped", {}).items():
        if name in METRICS.get(absent).selects:
            raise UsageError(
                _("{name!r} needs a library that is not installed.").format(name=name), cure
            )
    allowed = [entry for m in METRICS for entry in METRICS.get(m).selects if entry in metric]
    if name not in allowed:
        raise UsageError(
            _("A prompt cannot be chosen by {name!r} here.").format(name=name),
            nearest(name, allowed),
        )
    return float(metric[name])


def interval_of(metric: Mapping[str, Any], name: str) -> Sequence[float] | None:
    """The 95% interval of an entry of a metric; None where there is none."""
    if name in ("accuracy", "exact_match"):
        return metric.get("interval")
    return metric.get(f"{name}_interval")


def likeliest_suits(name: str) -> bool:
    """Whether a number to choose by is highest where the likeliest label is given."""
    return any(name in METRICS.get(metric).likeliest for metric in METRICS)


def default_metric(kind: str) -> str:
    """What prompts of a kind of task are chosen by.

    Macro-F1 for classification, because rare classes count in it; for free text the overlap of
    words, which needs no optional library.
    """
    return "macro_f1" if kind == "classification" else "token_f1"


def _of_kind(kind: str) -> list[str]:
    return [name for name in METRICS if METRICS.get(name).kind == kind]


def _score(answered: Answered, names: Sequence[str]) -> dict[str, Any]:
    if not answered.references:
        raise DataError(_("There are no rows to score."), _("Give rows with answers."))
    if len(answered.references) != len(answered.predictions):
        raise DataError(
            _(
                "{references} references came with {predictions} predictions; each row needs one"
                " of both."
            ).format(references=len(answered.references), predictions=len(answered.predictions)),
            _("Score the rows that were answered, in the same order."),
        )
    result: dict[str, Any] = {"n": len(answered.references)}
    skipped: dict[str, str] = {}
    for name in names:
        metric = METRICS.get(name)
        try:
            result |= metric.compute(answered)
        except ImportError:
            if metric.extra is None:
                raise
            skipped[name] = f"pip install 'softprompt[{metric.extra}]'"
    return {**result, "skipped": skipped} if skipped else result
