"""Expected calibration error (Guo et al. 2017, arXiv 1706.04599)."""

from __future__ import annotations

from typing import Any

import numpy as np

from softprompt.evaluation.metrics import METRICS, Answered, Metric

__all__ = ["calibration"]

_BINS = 15


def calibration(answered: Answered) -> dict[str, Any]:
    """`ece`: mean distance of confidence and accuracy over 15 equal bins; None without chances."""
    if answered.probabilities is None:
        return {"ece": None}
    confidence = answered.probabilities.max(1)
    chosen = [answered.labels[i] for i in answered.probabilities.argmax(1)]
    right = np.array([a == b for a, b in zip(chosen, answered.references, strict=True)], float)
    place = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    size = np.bincount(place, minlength=_BINS)
    gap = np.bincount(place, weights=confidence - right, minlength=_BINS)
    return {"ece": float(np.abs(gap).sum() / max(1, size.sum()))}


METRICS.register("calibration")(Metric("classification", calibration))
