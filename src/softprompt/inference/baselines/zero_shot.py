"""The best of several hand-written prompts, chosen on validation rows (Perez et al. 2021 warn of
choosing on test rows, arXiv 2105.11447)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from softprompt.errors import DataError
from softprompt.evaluation import value
from softprompt.inference.answers import Answers, answer, measure
from softprompt.inference.baselines import ASKING, BASELINES, Baseline, BaselineRequest
from softprompt.inference.rows import Encoded, encode_rows
from softprompt.locale import _
from softprompt.prompts import Layout
from softprompt.tasks import Row, Task, Template

__all__ = ["hand_written"]

CHOOSING_ROWS = 200
"""Validation rows that templates are compared on; more would cost more than training does."""


def _choose(request: BaselineRequest) -> dict[str, Any]:
    """The template that is best on validation rows."""
    task = request.task
    templates = hand_written(task, request.templates)
    best = templates[0]
    if len(templates) > 1 and task.validation:
        best = _best(request, templates, task.sample(task.validation, CHOOSING_ROWS))
    return {"template": best.text if best else None, "templates_tried": len(templates)}


def _answer(request: BaselineRequest, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The metric on the test rows of that template."""
    text = chosen["template"]
    encoded, answers = _answered(request, Template(text) if text else None, request.task.test)
    request.told(encoded, answers.texts)
    return measure(request.task, encoded, answers)


def hand_written(task: Task, own: tuple[str, ...] = ()) -> list[Template | None]:
    """The task's own text and a few standard wordings in English and Vietnamese.

    Args:
        task: whose inputs, target and choices are named in the wordings.
        own: the user's templates; they take the place of the standard ones.
    """
    if task.template is None:
        return [None]
    if own:
        return [Template(text) for text in own]
    plain = _without_slots(task.template)
    body = "\n".join(f"{{{name}}}" for name in task.inputs)
    target = task.target.replace("_", " ").replace("{", "").replace("}", "").strip()
    wordings = [choice.wording for choice in task.choices]
    options = ", ".join(wordings).replace("{", "{{").replace("}", "}}")
    texts = [plain]
    if task.choices:
        texts += [
            f"{body}\nThe {target} of this text is {{answer}}",
            f"What is the {target} of the following text? ({options})\n{body}\nAnswer: {{answer}}",
            f"Text: {body}\nOptions: {options}\n{target.capitalize()}: {{answer}}",
            f"Văn bản: {body}\nCác lựa chọn: {options}\nTrả lời: {{answer}}",
        ]
    else:
        texts += [f"{body}\n\n{target.capitalize()}: {{answer}}", f"{body}\nAnswer: {{answer}}"]
    return [Template(text) for text in dict.fromkeys(texts)]


def _best(
    request: BaselineRequest, templates: Sequence[Template | None], rows: tuple[Row, ...]
) -> Template | None:
    """The template with the best metric, of those that leave out the fewest rows.

    A wording that names many choices may fill the window; what it scores on the rest of the rows
    says nothing beside a wording that answers all.
    """
    found: list[tuple[int, float, Template | None]] = []
    for template in templates:
        try:
            encoded, answers = _answered(request, template, rows)
        except DataError:
            continue
        score = value(measure(request.task, encoded, answers), request.metric)
        found.append((encoded.dropped, score, template))
    if not found:
        raise DataError(
            _("No validation row fits into the model's window with any of the hand prompts."),
            _(
                "Shorten the rows, write a template of your own, or choose a model with a longer "
                "window."
            ),
        )
    fewest = min(dropped for dropped, *_ in found)
    kept = [one for one in found if one[0] == fewest]
    return max(kept, key=lambda one: one[1])[2]


def _answered(
    request: BaselineRequest, template: Template | None, rows: tuple[Row, ...]
) -> tuple[Encoded, Answers]:
    """Rows that fit, and their answers; of a free answer the first line, where no training answer
    has more.

    Raises:
        DataError: none fits.
    """
    task = replace(request.task, template=template)
    encoded = encode_rows(
        task,
        rows,
        Layout(request.backbone, None, scoring="wording"),
        answers="choices",
        chat=request.chat,
        drop_long=True,
    )
    if not encoded.examples:
        raise DataError(
            _("No row fits into the model's window with the hand prompt."),
            _("Shorten the rows, or choose a model with a longer window."),
        )
    answers = answer(request.backbone, task, encoded, (), max_new_tokens=request.max_new_tokens)
    if not any("\n" in str(row.answer) for row in task.train):
        # A model that follows no instruction goes on with lines that nobody asked for.
        written = tuple(text.strip().partition("\n")[0].strip() for text in answers.written)
        answers = replace(answers, written=written)
    return encoded, answers


def _without_slots(template: Template) -> str:
    """The template's text with its {prompt:N} taken out."""
    return re.sub(r"(?<!\{)\{prompt\s*:\s*\d+\}", "", template.text)


BASELINES.register("zero_shot")(Baseline(_choose, _answer))
ASKING.add("zero_shot")
