"""A method at work: rows in, answers out, and what it does to the model beside its task.

It does not know how the method was trained.

Shapes: P places of a prompt, X numbers at each, n rows, C choices.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from softprompt.backbones import Backbone, Context
from softprompt.errors import DataError
from softprompt.inference import Answers, Encoded, adjustment_for, answer, encode_rows, measure
from softprompt.inference.baselines import BASELINES, BaselineRequest
from softprompt.inference.continuation import Continuation, token_log_probabilities
from softprompt.locale import _
from softprompt.prompts import Layout
from softprompt.prompts.readout import Readout
from softprompt.tasks import Rendered, Row, Slot, Task

__all__ = ["Answered", "Asked", "Taught", "Work", "after_context"]


@dataclass(frozen=True)
class Answered:
    """Rows that were answered.

    Args:
        metric: (see `softprompt.evaluation`).
        texts: the answer to each row, in order; None where it does not fit into the window.
        given: the rows that were answered and what a trained method says of them; None of others.
    """

    metric: dict[str, Any]
    texts: tuple[str | None, ...]
    given: tuple[Encoded, Answers] | None = None


class Work(Protocol):
    """A method at work."""

    def answered(self, task: Task, rows: Sequence[Row], column: str | None = None) -> Answered:
        """Answers to rows of a task, and their metric; a column's values are scored apart where
        something was trained."""

    def seconds(self, task: Task, row: Row) -> float:
        """How long the answer to one row takes, from its text on."""

    @property
    def taught(self) -> Taught | None:
        """Itself, where something was trained."""


@dataclass(frozen=True)
class Asked:
    """A baseline: the untouched model, asked in words.

    Args:
        name: of the baseline.
        request: what it may use.
        chosen: by it, on training and validation rows.
    """

    name: str
    request: BaselineRequest
    chosen: Mapping[str, Any]
    taught = None

    def answered(self, task: Task, rows: Sequence[Row], column: str | None = None) -> Answered:
        heard: list[str | None] = []
        asked = replace(self.request, task=replace(task, test=tuple(rows)), heard=heard.extend)
        metric = BASELINES.get(self.name).answer(asked, self.chosen)
        return Answered(metric, tuple(heard))

    def seconds(self, task: Task, row: Row) -> float:
        ended = [0.0]

        def heard(answers: Sequence[str | None]) -> None:
            ended[0] = time.perf_counter()

        begun = time.perf_counter()
        asked = replace(self.request, task=replace(task, test=(row,)), heard=heard)
        BASELINES.get(self.name).answer(asked, self.chosen)
        return max(0.0, ended[0] - begun)


@dataclass(frozen=True)
class Taught:
    """A model that something was added to or changed in.

    Args:
        backbone: with adapters or changed weights in it.
        layout: of rows.
        prompts: [P_k, X] each; none where there is no soft prompt.
        depth: where they enter.
        temperature: of the choices' probabilities.
        adjustment: of their logarithms, before the largest is given as the answer.
        readout: beside the prompts; None where there is none.
        after: tokens before the answer that weights are active on; None where on all.
        chat, drop_long, max_new_tokens: as in training.
        detach: takes everything off and gives the model without it; after that this object is of
            no more use. None where it cannot be taken off.
        switch: puts the task's own part into a model that is loaded, from disk.
    """

    backbone: Backbone
    layout: Layout
    prompts: tuple[Tensor, ...] = ()
    depth: str = "input"
    temperature: float = 1.0
    adjustment: tuple[float, ...] = ()
    readout: Readout | None = None
    after: int | None = None
    chat: bool = False
    drop_long: bool = False
    max_new_tokens: int = 64
    detach: Callable[[], Backbone] | None = None
    switch: Callable[[], None] | None = None

    @property
    def taught(self) -> Taught:
        return self

    def encoded(self, task: Task, rows: Sequence[Row], answers: str = "choices") -> Encoded:
        """Rows as the model reads them."""
        found = encode_rows(
            task,
            rows,
            self.layout,
            answers=answers,
            chat=self.chat,
            drop_long=self.drop_long,
        )
        return found if self.after is None else after_context(found, self.after)

    def answered(self, task: Task, rows: Sequence[Row], column: str | None = None) -> Answered:
        encoded, answers = self._answers(task, rows)
        texts = encoded.among(rows, answers.texts)
        return Answered(measure(task, encoded, answers, column), tuple(texts), (encoded, answers))

    def fitted(self, task: Task, metric: str) -> Taught:
        """The same with labels that suit a metric, as the validation rows have it."""
        encoded, answers = self._answers(task, task.validation)
        return replace(self, adjustment=adjustment_for(task, encoded, answers, metric))

    def seconds(self, task: Task, row: Row) -> float:
        begun = time.perf_counter()
        self._answers(task, [row])
        return time.perf_counter() - begun

    def _answers(self, task: Task, rows: Sequence[Row]) -> tuple[Encoded, Answers]:
        """
        Raises:
            DataError: none of the rows fits.
        """
        encoded = self.encoded(task, rows)
        if not encoded.examples:
            raise DataError(
                _("No row of {name} fits into the window of {window} tokens.").format(
                    name=task.name, window=self.backbone.window
                ),
                _("Shorten the texts, or choose a model with a longer window."),
            )
        answers = answer(
            self.backbone,
            task,
            encoded,
            self.prompts,
            temperature=self.temperature,
            adjustment=self.adjustment,
            readout=self.readout,
            max_new_tokens=self.max_new_tokens,
            depth=self.depth,
        )
        return encoded, answers

    @torch.no_grad()
    def continuation_losses(
        self, passages: Sequence[tuple[str, str]]
    ) -> tuple[list[float], list[int]]:
        """How surprising the second halves of passages are after the first ones.

        Where there is a soft prompt it stands where its placement puts it before an answer; the
        slots of a template stand together between the halves. Of several members the mean counts.

        Args:
            passages: first and second halves.

        Returns:
            nats of each passage's second half, and its number of tokens.
        """
        nats, counts = list[float](), list[int]()
        for first, second in passages:
            parts: list[str | Slot] = [first]
            if self.layout.placement == "slots":
                parts.append(Slot(self.layout.length))
            rendered = Rendered(tuple(parts), "")
            example = self.layout.example(rendered, [second])
            # A passage goes on, so no end token is expected.
            example = replace(example, answers=tuple(ids[:-1] for ids in example.answers))
            if self.after is not None:
                example = after_context(Encoded((example,), ()), self.after).examples[0]
            members, total = self.prompts or (None,), 0.0
            for member in members:
                prompts = () if member is None else (member,)
                lengths = [len(x) for x in prompts]
                what = Continuation.of([example], self.backbone.device, lengths, self.depth)
                context = (
                    self.backbone.encode_context([example.context])
                    if example.context
                    else Context.empty(1, self.backbone.device)
                )
                tokens_M = token_log_probabilities(self.backbone, context, what, prompts)
                total -= float(tokens_M.double().sum()) / len(members)
            nats.append(total)
            counts.append(len(example.answers[0]))
        return nats, counts


def after_context(encoded: Encoded, tokens: int) -> Encoded:
    """The same rows with only their last tokens after the constant context.

    Args:
        encoded: rows without a soft prompt.
        tokens: before the answer, at least 1.
    """
    examples = []
    for example in encoded.examples:
        whole = example.context + example.trunk
        cut = max(0, len(whole) - tokens)
        examples.append(replace(example, context=whole[:cut], trunk=whole[cut:]))
    return replace(encoded, examples=tuple(examples))
