"""Share of answers equal to the reference after Unicode and white-space normalisation."""

from __future__ import annotations

import unicodedata
from typing import Any

from softprompt.evaluation.intervals import wilson
from softprompt.evaluation.metrics import METRICS, Answered, Metric

__all__ = ["exact_match"]


def exact_match(answered: Answered) -> dict[str, Any]:
    """`exact_match` and `interval`; case counts, accents count."""
    pairs = zip(answered.references, answered.predictions, strict=True)
    hits = sum(_plain(a) == _plain(b) for a, b in pairs)
    n = len(answered.references)
    return {"exact_match": hits / n, "interval": list(wilson(hits, n))}


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


METRICS.register("exact_match")(Metric("generation", exact_match, ("exact_match",)))
