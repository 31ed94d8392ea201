"""A soft prompt at work: text in, answers with probabilities out.

It does not know where texts come from or where answers go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.backbones import Backbone, load_backbone
from softprompt.errors import DataError, UsageError, nearest
from softprompt.inference.answers import Answers, answer, measure
from softprompt.inference.rows import Encoded, encode_rows, task_of, text_row
from softprompt.locale import _
from softprompt.prompts import SoftPrompt
from softprompt.tasks import Row, TaskConfig, read_rows

__all__ = ["Prediction", "Predictor", "evaluate", "predict"]

Text = str | Mapping[str, Any] | Sequence[Mapping[str, str]] | Row


@dataclass(frozen=True)
class Prediction:
    """One answer.

    Args:
        answer: the label, or free text.
        probability: of the answer among the choices; None for free text.
        probabilities: of every label; empty for free text.
    """

    answer: str
    probability: float | None
    probabilities: Mapping[str, float]


def refuse_vectors(prompt: SoftPrompt) -> None:
    """Refuses a prompt that no language model belongs to.

    Raises:
        UsageError: it is one of `tune_vectors`.
    """
    if prompt.task.kind == "vectors":
        raise UsageError(
            _(
                "The prompt stands among the vectors of a module ({module}), which reads no texts."
            ).format(module=prompt.backbone.name),
            _("Use run_vectors with an adapter of the module."),
        )


class Predictor:
    """A prompt with its backbone, ready to answer.

    Args:
        prompt: the trained prompt.
        backbone: its backbone; loaded by the prompt's own name and precision when absent.

    Raises:
        ArtifactError: the backbone is not the prompt's own.
        UsageError: the prompt is one of `tune_vectors`.
    """

    def __init__(self, prompt: SoftPrompt, backbone: Backbone | None = None) -> None:
        refuse_vectors(prompt)
        self.prompt = prompt
        named = prompt.backbone
        self.backbone = backbone or load_backbone(
            named.name, revision=named.revision, dtype=prompt.dtype
        )
        self._layout = prompt.layout(self.backbone)
        self._task = task_of(prompt.task)

    def predict(
        self, texts: Sequence[Text], progress: Callable[[int, int], None] | None = None
    ) -> list[Prediction]:
        """Answers to texts, to mappings from column to text, to rows of a file or, by a prompt that
        reads conversations, to lists of messages.

        Raises:
            UsageError: one text is given instead of a list of them.
            DataError: a text is empty, too long for the model's window, or lacks a column.
        """
        if isinstance(texts, str):
            raise UsageError(
                _("A list of texts is wanted, and one text is given."), _("Write predict([text]).")
            )
        rows = [
            text if isinstance(text, Row) else text_row(self.prompt.task, text, number)
            for number, text in enumerate(texts, 1)
        ]
        _encoded, answers = self._answer(rows, drop_long=False, progress=progress)
        chances = answers.probabilities
        if chances is None:
            return [Prediction(text, None, {}) for text in answers.texts]
        labels = self.prompt.task.labels
        by_label = [dict(zip(labels, map(float, row), strict=True)) for row in chances]
        return [
            Prediction(text, of_each[text], of_each)
            for text, of_each in zip(answers.texts, by_label, strict=True)
        ]

    def evaluate(
        self,
        rows: Sequence[Row],
        *,
        slice_column: str | None = None,
        drop_long: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, Any]:
        """Metrics on rows that have answers.

        Raises:
            DataError: a row has no answer, an unknown label, no such column to slice by, or does
                not fit into the window.
        """
        if slice_column is not None and rows and slice_column not in rows[0].columns:
            raise DataError(
                _("There is no column {name!r} to slice by.").format(name=slice_column),
                nearest(slice_column, rows[0].columns),
            )
        labels = set(self.prompt.task.labels)
        for row in rows:
            if row.answer is None:
                raise DataError(
                    _("{place} has no answer in the column {column!r}.").format(
                        place=row.place, column=self.prompt.task.target
                    ),
                    _("Evaluate on rows with answers; use `softprompt predict` for others."),
                )
            if labels and row.answer not in labels:
                raise DataError(
                    _("{place} has the unknown label {label!r}; the prompt knows {labels}.").format(
                        place=row.place, label=row.answer, labels=sorted(labels)
                    ),
                    _("Correct the label, or train a prompt that knows it."),
                )
        encoded, answers = self._answer(rows, drop_long=drop_long, progress=progress)
        return measure(self._task, encoded, answers, slice_column)

    def _answer(
        self,
        rows: Sequence[Row],
        *,
        drop_long: bool,
        progress: Callable[[int, int], None] | None,
    ) -> tuple[Encoded, Answers]:
        """The rows as the model reads them, and what it answers."""
        task = self.prompt.task
        encoded = encode_rows(
            self._task, rows, self._layout, answers="choices", chat=task.chat, drop_long=drop_long
        )
        answers = answer(
            self.backbone,
            self._task,
            encoded,
            self.prompt.members,
            temperature=task.temperature,
            adjustment=task.adjustment,
            max_new_tokens=task.max_new_tokens,
            progress=progress,
            depth=self.prompt.depth,
            readout=self.prompt.readout,
        )
        return encoded, answers


def predict(
    prompt: SoftPrompt, texts: Sequence[Text], backbone: Backbone | None = None
) -> list[Prediction]:
    """Answers to texts by a prompt (see `Predictor.predict`)."""
    return Predictor(prompt, backbone).predict(texts)


def evaluate(
    prompt: SoftPrompt,
    data: str | Path,
    backbone: Backbone | None = None,
    *,
    slice_column: str | None = None,
    drop_long: bool = False,
    config: TaskConfig | None = None,
) -> dict[str, Any]:
    """Metrics of a prompt on a file with answers.

    Args:
        prompt: the trained prompt.
        data: any file that a task can be read from.
        backbone: the prompt's own, where it is loaded already.
        slice_column: a column whose values are scored apart.
        drop_long: leave out rows that do not fit into the window.
        config: delimiter, encoding and split of the file.

    Raises:
        DataError: the file cannot be read or a row cannot be scored.
    """
    task = prompt.task
    file = read_rows(data, inputs=task.inputs, target=task.target, config=config)
    predictor = Predictor(prompt, backbone)
    return predictor.evaluate(file.rows, slice_column=slice_column, drop_long=drop_long)
