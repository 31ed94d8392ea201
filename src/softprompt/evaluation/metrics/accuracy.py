"""Share of right answers, with Wilson's 95% interval."""

from __future__ import annotations

from typing import Any

from sklearn.metrics import accuracy_score

from softprompt.evaluation.intervals import wilson
from softprompt.evaluation.metrics import METRICS, Answered, Metric

__all__ = ["accuracy"]


def accuracy(answered: Answered) -> dict[str, Any]:
    """`accuracy` and `interval`."""
    share = float(accuracy_score(answered.references, answered.predictions))
    n = len(answered.references)
    return {"accuracy": share, "interval": list(wilson(round(share * n), n))}


METRICS.register("accuracy")(Metric("classification", accuracy, ("accuracy",), ("accuracy",)))
