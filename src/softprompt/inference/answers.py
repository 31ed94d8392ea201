"""The answers of a model to rows, with or without a soft prompt, and how good they are.

Classification scores every choice; generation writes freely. The same path serves validation during
training, the final test, `evaluate`, `predict` and the baselines.

Shapes: n rows, C choices, K prompts, P places of one, X numbers at each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from softprompt.backbones import Backbone, Context
from softprompt.evaluation import (
    decide,
    probabilities,
    score_classification,
    score_generation,
    score_rows,
    score_slices,
)
from softprompt.inference.contexts import Contexts
from softprompt.inference.generation import generate
from softprompt.inference.rows import Encoded
from softprompt.inference.scoring import score_answers
from softprompt.prompts.readout import Readout
from softprompt.tasks import Task

__all__ = ["Answers", "answer", "measure", "row_scores"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Answers:
    """What a model answered.

    Args:
        written: free text per row; empty for choices.
        labels: of the choices; empty for free text.
        log_scores: [K, n, C] summed log-probability of each choice by each prompt; None for free
            text.
        temperature: divides log-scores before the softmax.
        adjustment: added to the log-probability of each choice before the largest is given; empty
            for the likeliest.
        readout: [n, C] log-scores of a readout, whose probabilities count as much as those of all
            prompts; None where there is none.
    """

    written: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    log_scores: NDArray[np.float64] | None = None
    temperature: float = 1.0
    adjustment: tuple[float, ...] = ()
    readout: NDArray[np.float64] | None = None

    @property
    def probabilities(self) -> NDArray[np.float64] | None:
        """[n, C] of the choices, the mean over the prompts and of that with the readout's; None
        for free text."""
        if self.log_scores is None:
            return None
        return probabilities(self.log_scores, self.temperature, self.readout)

    @property
    def texts(self) -> tuple[str, ...]:
        """The label given to each row, or free text."""
        chances = self.probabilities
        if chances is None:
            return self.written
        return tuple(self.labels[best] for best in decide(chances, self.adjustment))

    def at(self, temperature: float, adjustment: tuple[float, ...] = ()) -> Answers:
        """The same scores at another temperature, with other labels given."""
        return replace(self, temperature=temperature, adjustment=adjustment)

    @classmethod
    def together(cls, answers: Sequence[Answers]) -> Answers:
        """What several prompts answered to the same rows, as an ensemble's answers."""
        first = answers[0]
        if first.log_scores is None:
            return first
        scores = [each.log_scores for each in answers if each.log_scores is not None]
        return replace(first, log_scores=np.concatenate(scores))

    def by(self, prompt: int) -> Answers:
        """What one prompt answered alone."""
        assert self.log_scores is not None, "free text has one author"
        return replace(self, log_scores=self.log_scores[prompt : prompt + 1])


def answer(
    backbone: Backbone,
    task: Task,
    encoded: Encoded,
    prompts: Sequence[Tensor],
    *,
    temperature: float = 1.0,
    adjustment: tuple[float, ...] = (),
    contexts: Contexts | None = None,
    max_new_tokens: int = 64,
    progress: Progress | None = None,
    depth: str = "input",
    readout: Readout | None = None,
) -> Answers:
    """Answers rows: the likeliest choice, or generated text.

    Args:
        backbone: the frozen model.
        task: whose choices count.
        encoded: rows, encoded with all choices (classification) or with none needed.
        prompts: [P_k, X] each; none for no prompt. Free text is written by the first.
        temperature: divides log-scores before the softmax over the choices.
        adjustment: of the choices' log-probabilities (see `Answers`).
        contexts: of these examples, where they are kept.
        max_new_tokens: longest free answer, in tokens.
        progress: called with rows done and rows in all.
        depth: where the prompts enter.
        readout: of the same choices, beside the prompts.
    """
    if not task.choices:
        texts = generate(
            backbone,
            encoded.examples,
            prompts[:1],
            max_new_tokens,
            contexts=contexts,
            progress=progress,
            depth=depth,
        )
        return Answers(written=tuple(texts))
    labels = tuple(choice.label for choice in task.choices)
    read_nC = np.zeros((len(encoded.examples), len(labels)))

    def seen(rows: Sequence[int], context: Context) -> None:
        if readout is not None:
            read_nC[list(rows)] = readout.logits(backbone, context).numpy()

    scores = score_answers(backbone, encoded.examples, prompts, contexts, progress, depth, seen)
    read = None if readout is None else read_nC
    return Answers((), labels, scores, temperature, adjustment, read)


def measure(
    task: Task,
    encoded: Encoded,
    answers: Answers,
    slice_column: str | None = None,
) -> dict[str, Any]:
    """The metrics of answers against the rows' own, as fractions.

    Args:
        task: classification or generation.
        encoded: the rows answered; each has an answer of its own.
        answers: to them, in the same order.
        slice_column: a column whose values are scored apart under `"slices"`.
    """
    references = [str(row.answer) for row in encoded.rows]
    chances, texts = answers.probabilities, answers.texts

    def score(picked: Sequence[int]) -> dict[str, Any]:
        wanted = [references[i] for i in picked]
        given = [texts[i] for i in picked]
        if not task.choices:
            return score_generation(wanted, given, demands=task.demands)
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


def row_scores(task: Task, encoded: Encoded, answers: Answers, metric: str) -> list[float]:
    """How good each answer is by itself: 1 or 0 for a choice, the metric's value for free text.

    Args:
        task, encoded, answers: as for `measure`.
        metric: that chooses between prompts.
    """
    references = [str(row.answer) for row in encoded.rows]
    if task.choices:
        return [float(a == b) for a, b in zip(references, answers.texts, strict=True)]
    return score_rows(references, answers.texts, metric, demands=task.demands)
