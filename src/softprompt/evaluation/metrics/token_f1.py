"""Overlap of words between answer and reference (Rajpurkar et al. 2016, arXiv 1606.05250)."""

from __future__ import annotations

from collections import Counter
from typing import Any

from softprompt.evaluation.intervals import bootstrap, widened
from softprompt.evaluation.metrics import METRICS, Answered, Metric
from softprompt.evaluation.words import words

__all__ = ["token_f1"]


def token_f1(answered: Answered) -> dict[str, Any]:
    """`token_f1` and `token_f1_interval`: mean F1 of the word multisets, bootstrap interval.

    Words are Unicode words and no article is removed. Where a text has no word at all, only another
    such text matches it.
    """
    pairs = zip(answered.references, answered.predictions, strict=True)
    scores = [_f1(Counter(words(a)), Counter(words(b))) for a, b in pairs]
    return {
        "token_f1": sum(scores) / len(scores),
        "token_f1_interval": widened(bootstrap(scores, seed=answered.seed), len(scores)),
    }


def _f1(reference: Counter[str], prediction: Counter[str]) -> float:
    if not reference or not prediction:
        return float(reference == prediction)
    common = (reference & prediction).total()
    return 2 * common / (reference.total() + prediction.total())


METRICS.register("token_f1")(Metric("generation", token_f1, ("token_f1",)))
