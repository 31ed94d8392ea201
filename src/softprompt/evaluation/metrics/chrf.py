"""chrF, character n-gram F-score (Popović 2015), through sacrebleu."""

from __future__ import annotations

from typing import Any

from softprompt.evaluation.metrics import METRICS, Answered, Metric

__all__ = ["chrf"]


def chrf(answered: Answered) -> dict[str, Any]:
    """`chrf` of the whole set, as a fraction.

    Raises:
        ImportError: sacrebleu is not installed.
    """
    import sacrebleu

    score = sacrebleu.corpus_chrf(list(answered.predictions), [list(answered.references)])
    return {"chrf": float(score.score) / 100}


METRICS.register("chrf")(Metric("generation", chrf, ("chrf",), extra="generation"))
