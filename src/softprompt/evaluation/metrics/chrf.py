"""chrF, character n-gram F-score (Popović 2015), through sacrebleu."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softprompt.evaluation.intervals import widened
from softprompt.evaluation.metrics import METRICS, Answered, Metric

__all__ = ["chrf", "chrf_of_rows"]

_RESAMPLES = 1000


def chrf(answered: Answered) -> dict[str, Any]:
    """`chrf` of the whole set, as a fraction, and `chrf_interval` (95%, of sets drawn from its
    rows); NFC, case and accents count, white space does not.

    Raises:
        ImportError: sacrebleu is not installed.
    """
    import sacrebleu

    score = sacrebleu.corpus_chrf(_plain(answered.predictions), [_plain(answered.references)])
    of_rows = chrf_of_rows(answered.references, answered.predictions)
    count, rng = len(answered.references), np.random.default_rng(answered.seed)
    drawn = [of_rows(rng.integers(count, size=count)) for _ in range(_RESAMPLES)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    interval = widened((float(low), float(high)), count)
    return {"chrf": float(score.score) / 100, "chrf_interval": interval}


def chrf_of_rows(
    references: Sequence[str], answers: Sequence[str]
) -> Callable[[NDArray[np.int64]], float]:
    """From places of rows to their chrF, for tests that draw rows again and again.

    N-grams are counted once, by sacrebleu's own functions for its significance tests.

    Raises:
        ImportError: sacrebleu is not installed.
    """
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    counted = metric._extract_corpus_statistics(_plain(answers), [_plain(references)])
    counts_NG = np.array(counted)

    def score(rows: NDArray[np.int64]) -> float:
        return metric._compute_f_score(counts_NG[rows].sum(0).tolist()) / 100

    return score


def _plain(texts: Sequence[str]) -> list[str]:
    return [unicodedata.normalize("NFC", text) for text in texts]


METRICS.register("chrf")(Metric("generation", chrf, ("chrf",), extra="generation"))
