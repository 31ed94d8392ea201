"""In-context learning: k demonstrations from the training rows before each test row (Brown et al.
2020, arXiv 2005.14165)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from softprompt.errors import DataError
from softprompt.inference.answers import answer, measure
from softprompt.inference.baselines import ASKING, BASELINES, Baseline, BaselineRequest
from softprompt.inference.rows import Encoded
from softprompt.locale import _, number
from softprompt.prompts import Example, Layout, TooLongError
from softprompt.tasks import Rendered, Row, Slot, Task, demonstration, in_turn

__all__: list[str] = []

_BETWEEN = "\n\n"
"""Ends a demonstration (see `demonstration`)."""


def _choose(request: BaselineRequest) -> dict[str, Any]:
    """Demonstrations drawn by the seed, classes in turn: `shown`, places of training rows, the
    first to be shown last."""
    task = request.task
    shown = in_turn(task, task.train, request.seed)[: request.shots]
    return {"shots": len(shown), "shown": list(shown)}


def _answer(request: BaselineRequest, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The metric on the test rows with those demonstrations.

    A row that does not fit with all demonstrations, and with the longest free answer, gets fewer;
    how many rows that concerns is reported as `"shortened"`. A free answer ends where the model
    goes on with a demonstration of its own, after an empty line.
    """
    task = request.task
    layout = Layout(request.backbone, None, scoring="wording")
    room = 0 if task.choices else request.max_new_tokens
    template = request.backbone.chat if request.chat else None
    shown = chosen["shown"]
    demonstrations = [demonstration(task, task.train[place]) for place in reversed(shown)]
    examples: list[Example] = []
    kept: list[Row] = []
    shortened = dropped = 0
    for row in task.test:
        rendered = task.render(row)
        example = _fitting(layout, task, rendered, demonstrations, template, row, room)
        if example is None:
            dropped += 1
            continue
        shortened += example[1] < len(demonstrations)
        examples.append(example[0])
        kept.append(row)
    if not examples:
        raise DataError(
            _("None of the {n} test rows fits into the model's window.").format(n=number(dropped)),
            _("Use a model with a longer window, or shorter rows."),
        )
    encoded = Encoded(tuple(examples), tuple(kept), dropped)
    answers = answer(request.backbone, task, encoded, (), max_new_tokens=request.max_new_tokens)
    if not any(_BETWEEN in str(task.train[place].answer) for place in shown):
        written = tuple(text.partition(_BETWEEN)[0].strip() for text in answers.written)
        answers = replace(answers, written=written)
    request.told(encoded, answers.texts)
    return {**measure(task, encoded, answers), "shortened": int(shortened)}


def _fitting(
    layout: Layout,
    task: Task,
    rendered: Rendered,
    demonstrations: list[str],
    chat: Any,
    row: Row,
    room: int,
) -> tuple[Example, int] | None:
    """The row behind as many demonstrations as leave room, and how many those are."""
    wordings = [choice.wording for choice in task.choices]
    own = [part for part in rendered.parts if not isinstance(part, Slot)]
    for count in range(len(demonstrations), -1, -1):
        text = "".join(demonstrations[len(demonstrations) - count :]) + "".join(own)
        whole = replace(rendered, parts=(text,))
        if chat is not None:
            whole = Rendered.of((chat([{"role": "user", "content": text}]),))
        try:
            example = layout.example(whole, wordings, row.place)
        except TooLongError:
            continue
        if not count or example.tokens + room <= layout.backbone.window:
            return example, count
    return None


BASELINES.register("few_shot")(Baseline(_choose, _answer))
ASKING.add("few_shot")
