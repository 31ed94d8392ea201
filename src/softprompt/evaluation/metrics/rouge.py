"""ROUGE-1 and ROUGE-L (Lin 2004) over Unicode words, through rouge-score.

The library's own tokenizer deletes every letter outside ASCII, which makes Vietnamese
meaningless (huggingface/evaluate issue 256); it gets another one.
"""

from __future__ import annotations

from typing import Any

from softprompt.evaluation.intervals import bootstrap, widened
from softprompt.evaluation.metrics import METRICS, Answered, Metric
from softprompt.evaluation.words import words

__all__ = ["rouge"]


class _Tokenizer:
    """What rouge-score calls a tokenizer."""

    def tokenize(self, text: str) -> list[str]:
        """Unicode words, lower case."""
        return words(text)


def rouge(answered: Answered) -> dict[str, Any]:
    """`rouge1`, `rougeL` and their `_interval`: mean F-measures, bootstrap intervals.

    Raises:
        ImportError: rouge-score is not installed.
    """
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rouge1", "rougeL"], tokenizer=_Tokenizer())
    pairs = zip(answered.references, answered.predictions, strict=True)
    scores = [scorer.score(reference, prediction) for reference, prediction in pairs]
    result: dict[str, Any] = {}
    for name in ("rouge1", "rougeL"):
        values = [float(score[name].fmeasure) for score in scores]
        result[name] = sum(values) / len(values)
        result[f"{name}_interval"] = widened(bootstrap(values, seed=answered.seed), len(values))
    return result


METRICS.register("rouge")(Metric("generation", rouge, ("rouge1", "rougeL"), extra="generation"))
