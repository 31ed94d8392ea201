"""F1 of each class, their plain mean with a bootstrap interval, and the confusion matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from softprompt.evaluation.intervals import widened
from softprompt.evaluation.metrics import METRICS, Answered, Metric

__all__ = ["macro_f1"]

_RESAMPLES = 1000


def macro_f1(answered: Answered) -> dict[str, Any]:
    """`macro_f1`, `macro_f1_interval`, `per_class`, `confusion`.

    The mean is over the labels that occur among the references: a class without rows has no F1.
    """
    labels = list(answered.labels)
    precision, recall, f1, support = precision_recall_fscore_support(
        answered.references, answered.predictions, labels=labels, zero_division=0.0
    )
    counts = confusion_matrix(answered.references, answered.predictions, labels=labels)
    present = np.asarray(support) > 0
    return {
        "macro_f1": float(np.asarray(f1)[present].mean()),
        "macro_f1_interval": _interval(np.asarray(counts), answered.seed),
        "per_class": {
            label: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "n": int(support[i]),
            }
            for i, label in enumerate(labels)
        },
        "confusion": {"labels": labels, "counts": np.asarray(counts).tolist()},
    }


def _interval(counts_CC: NDArray[np.int64], seed: int) -> list[float]:
    """95% percentile bootstrap of the macro-F1.

    Resampling rows is drawing the cells of the confusion matrix (R resamples of the K that are not
    empty) from a multinomial distribution.
    The mean is over the same classes in all: of a rare class whose references a resample lacks, the
    F1 on the rows themselves counts, so that a hard class cannot fall out of the mean by luck.
    """
    classes = len(counts_CC)
    n = int(counts_CC.sum())
    truth_K, guess_K = counts_CC.nonzero()
    rng = np.random.default_rng(seed)
    drawn_RK = rng.multinomial(n, counts_CC[truth_K, guess_K] / n, size=_RESAMPLES).astype(float)
    truth_KC = np.eye(classes)[truth_K]
    guess_KC = np.eye(classes)[guess_K]
    support_RC = drawn_RK @ truth_KC
    f1_RC = 2 * (drawn_RK @ (truth_KC * guess_KC)) / np.maximum(support_RC + drawn_RK @ guess_KC, 1)
    support_C = counts_CC.sum(1)
    f1_C = 2 * counts_CC.diagonal() / np.maximum(support_C + counts_CC.sum(0), 1)
    macro_R = np.where(support_RC > 0, f1_RC, f1_C)[:, support_C > 0].mean(1)
    low, high = np.percentile(macro_R, [2.5, 97.5])
    return widened((float(low), float(high)), n)


METRICS.register("macro_f1")(Metric("classification", macro_f1, ("macro_f1",)))
