"""chrF, character n-gram F-score (Popović 2015), through sacrebleu."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from softprompt.evaluation.metrics import METRICS, Answered, Metric

__all__ = ["chrf"]


def chrf(answered: Answered) -> dict[str, Any]:
    """`chrf` of the whole set, as a fraction; NFC, case and accents count, white space does not.

    Raises:
        ImportError: sacrebleu is not installed.
    """
    import sacrebleu

    score = sacrebleu.corpus_chrf(_plain(answered.predictions), [_plain(answered.references)])
    return {"chrf": float(score.score) / 100}


def _plain(texts: Sequence[str]) -> list[str]:
    return [unicodedata.normalize("NFC", text) for text in texts]


METRICS.register("chrf")(Metric("generation", chrf, ("chrf",), extra="generation"))
