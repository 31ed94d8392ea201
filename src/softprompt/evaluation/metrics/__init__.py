"""Numbers that say how good answers are: one file a metric, each from a library where one has it.

A metric is a pure function. It knows references and predictions, and nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from softprompt.locale import mark
from softprompt.registry import Registry, discover

__all__ = ["METRICS", "Answered", "Metric"]


@dataclass(frozen=True)
class Answered:
    """References and predictions of n rows.

    Args:
        references: right answers.
        predictions: given answers.
        labels: all labels, in order; empty for free text.
        probabilities: [n, C] of each label, or None.
        seed: of resampling.
        demands: what the task demands of free answers, by the name of the metric that looks.
    """

    references: Sequence[str]
    predictions: Sequence[str]
    labels: Sequence[str] = ()
    probabilities: NDArray[np.float64] | None = None
    seed: int = 0
    demands: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """One metric.

    Args:
        kind: of the tasks that it suits.
        compute: from answers to the entries that it puts into the result, all plain data.
        selects: names of its entries that may choose the best prompt (higher is better).
        likeliest: names of those that are highest where the likeliest label is given.
        extra: the optional dependency that it needs, or None.
    """

    kind: Literal["classification", "generation"]
    compute: Callable[[Answered], dict[str, Any]]
    selects: tuple[str, ...] = ()
    likeliest: tuple[str, ...] = ()
    extra: str | None = None


METRICS: Registry[Metric] = Registry(mark("metric"))
discover(__name__, list(__path__))
