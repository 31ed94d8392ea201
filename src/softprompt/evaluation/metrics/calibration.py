"""Expected calibration error (Guo et al. 2017, arXiv 1706.04599)."""

from __future__ import annotations

from typing import Any

import numpy as np

from softprompt.evaluation.metrics import METRICS, Answered, Metric

__all__ = ["calibration"]

_BINS = 15
_EDGES = np.linspace(0.0, 1.0, _BINS + 1)


def calibration(answered: Answered) -> dict[str, Any]:
    """`ece`: mean distance of confidence and accuracy over 15 equal bins; None without chances.

    As in the paper, a bin holds its upper edge and not its lower one. Lower is better.
    """
    if answered.probabilities is None:
        return {"ece": None}
    confidence = answered.probabilities.max(1)
    chosen = [answered.labels[i] for i in answered.probabilities.argmax(1)]
    right = np.array([a == b for a, b in zip(chosen, answered.references, strict=True)], float)
    place = np.digitize(confidence, _EDGES[1:-1], right=True)
    gap = np.bincount(place, weights=confidence - right, minlength=_BINS)
    return {"ece": float(np.abs(gap).sum() / len(confidence))}


METRICS.register("calibration")(Metric("classification", calibration))
