"""The answers of a model to rows, with or without a soft prompt, and how good they are.

Classification scores every choice; generation writes freely. The same path serves validation during
training, the final test, `evaluate`, `predict` and the baselines.

Shapes: n rows, C choices, P prompt vectors, D hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from softprompt.backbones import Backbone
from softprompt.evaluation import (
    probabilities,
    score_classification,
    score_generation,
    score_slices,
)
from softprompt.inference.contexts import Contexts
from softprompt.inference.generation import generate
from softprompt.inference.rows import Encoded
from softprompt.inference.scoring import score_answers
from softprompt.tasks import Task

__all__ = ["Answers", "answer", "measure"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Answers:
    """What a model answered.

    Args:
        texts: a label per row, or free text.
        log_scores: [n, C] summed log-probability of each choice; None for free text.
    """

    texts: tuple[str, ...]
    log_scores: NDArray[np.float64] | None = None

    def probabilities(self, temperature: float = 1.0) -> NDArray[np.float64] | None:
        """[n, C] softmax over the choices; None for free text."""
        return None if self.log_scores is None else probabilities(self.log_scores, temperature)


def answer(
    backbone: Backbone,
    task: Task,
    encoded: Encoded,
    vectors_PD: Tensor | None,
    *,
    contexts: Contexts | None = None,
    max_new_tokens: int = 64,
    progress: Progress | None = None,
) -> Answers:
    """Answers rows: the likeliest choice, or generated text.

    Args:
        backbone: the frozen model.
        task: whose choices count.
        encoded: rows, encoded with all choices (classification) or with none needed.
        vectors_PD: [P, D] the prompt; None for none.
        contexts: of these examples, where they are kept.
        max_new_tokens: longest free answer, in tokens.
        progress: called with rows done and rows in all.
    """
    if not task.choices:
        texts = generate(backbone, encoded.examples, vectors_PD, max_new_tokens, progress=progress)
        return Answers(tuple(texts))
    scores = score_answers(backbone, encoded.examples, vectors_PD, contexts, progress)
    labels = [choice.label for choice in task.choices]
    return Answers(tuple(labels[best] for best in scores.argmax(1)), scores)


def measure(
    task: Task,
    encoded: Encoded,
    answers: Answers,
    temperature: float = 1.0,
    slice_column: str | None = None,
) -> dict[str, Any]:
    """The metrics of answers against the rows' own, as fractions.

    Args:
        task: classification or generation.
        encoded: the rows answered; each has an answer of its own.
        answers: to them, in the same order.
        temperature: divides log-scores before the softmax.
        slice_column: a column whose values are scored apart under `"slices"`.
    """
    references = [str(row.answer) for row in encoded.rows]
    chances = answers.probabilities(temperature)

    def score(picked: Sequence[int]) -> dict[str, Any]:
        wanted = [references[i] for i in picked]
        given = [answers.texts[i] for i in picked]
        if not task.choices:
            return score_generation(wanted, given)
        labels = [choice.label for choice in task.choices]
        return score_classification(
            wanted, given, labels, None if chances is None else chances[list(picked)]
        )

    metric = score(range(len(references)))
    if encoded.dropped:
        metric["dropped"] = encoded.dropped
    if slice_column is not None:
        values = [row.columns.get(slice_column, "") for row in encoded.rows]
        metric["slices"] = score_slices(values, score)
    return metric
