"""From rows of a task to examples for a model, with a policy for rows that do not fit.

It does not know whether there is a soft prompt; the layout does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from softprompt.errors import DataError
from softprompt.locale import _, ngettext
from softprompt.prompts import Example, Layout, PromptTask, TooLongError
from softprompt.tasks import Rendered, Row, Task, Template, normalise
from softprompt.tasks.rows import conversation, is_conversation, is_empty

__all__ = ["Encoded", "chat_used", "encode_rows", "task_of", "text_row"]


@dataclass(frozen=True)
class Encoded:
    """Examples and the rows they were made of.

    Args:
        examples: one per row kept.
        rows: the rows kept, in order.
        dropped: number of rows left out because they do not fit into the model's window.
    """

    examples: tuple[Example, ...]
    rows: tuple[Row, ...]
    dropped: int = 0

    def among(self, rows: Sequence[Row], texts: Sequence[str]) -> list[str | None]:
        """Texts of the rows kept, in their places among all rows; None where one is left out.

        Args:
            rows: that these were kept of.
            texts: one per row kept.
        """
        # Equal rows are one value but several objects; places tell them apart.
        given = {id(row): text for row, text in zip(self.rows, texts, strict=True)}
        return [given.get(id(row)) for row in rows]


def task_of(prompt_task: PromptTask) -> Task:
    """A task without rows that renders as the prompt was trained."""
    return Task(
        name=prompt_task.target,
        kind="classification" if prompt_task.choices else "generation",
        template=Template(prompt_task.template) if prompt_task.template is not None else None,
        choices=prompt_task.choices,
        target=prompt_task.target,
        inputs=prompt_task.inputs,
        train=(),
        validation=(),
        test=(),
        demands=prompt_task.demands,
    )


def text_row(task: PromptTask, text: Any, number: int = 1) -> Row:
    """The row that a text makes for a prompt.

    Args:
        task: which columns the prompt reads.
        text: of the only column, or by column; for a prompt that reads conversations, what the user
            says, or a list of messages.
        number: of the row, for messages.

    Raises:
        DataError: it is empty or no text, or one is given where several columns are read.
    """
    if task.template is None:
        return _conversation(task, text, number)
    if isinstance(text, str):
        if len(task.inputs) != 1:
            raise DataError(
                _("The prompt reads the columns {columns}, and one text is given.").format(
                    columns=list(task.inputs)
                ),
                _("Give a mapping with these columns, or a file with --file."),
            )
        text = {task.inputs[0]: text}
    if not isinstance(text, Mapping) or not all(isinstance(x, str) for x in text.values()):
        raise DataError(
            _("Input {number} is no text: {text!r}.").format(number=number, text=str(text)[:60]),
            _("Give texts, or mappings from column to text."),
        )
    columns = {name: normalise(value) for name, value in text.items()}
    row = Row(_("text"), number, columns, None)
    if not any(columns.get(name) for name in task.inputs):
        raise DataError(
            _("{place} is empty.").format(place=row.place), _("Give some text, or leave it out.")
        )
    return row


def _conversation(task: PromptTask, text: Any, number: int) -> Row:
    """The row of a text, which the user says, or of a list of messages, alone or in its column.

    A list is read as one of a file is (see `softprompt.tasks.rows`), in a column as JSON too.

    Raises:
        DataError: it is neither.
    """
    column = task.inputs[0] if task.inputs else "messages"
    value = text.get(column) if isinstance(text, Mapping) else text
    written = isinstance(text, Mapping) and isinstance(value, str) and is_conversation(value)
    if isinstance(value, str) and not written:
        value = [{"role": "user", "content": value}]
    messages, answer = conversation(value, _("Input {number}").format(number=number), column)
    row = Row(_("text"), number, {}, answer, messages)
    if is_empty(row, ()):
        raise DataError(
            _("{place} is empty.").format(place=row.place), _("Give some text, or leave it out.")
        )
    return row


def chat_used(setting: str, layout: Layout) -> bool:
    """Whether text goes through the model's chat template.

    Raises:
        DataError: it is asked for and the model has none.
    """
    has = layout.backbone.chat is not None
    if setting == "on" and not has:
        raise DataError(
            _("The model {model!r} has no chat template.").format(
                model=layout.backbone.identity.name
            ),
            _("Leave --chat out, or choose an instruction model."),
        )
    return has and setting != "off"


def encode_rows(
    task: Task,
    rows: Sequence[Row],
    layout: Layout,
    *,
    answers: str,
    chat: bool = False,
    drop_long: bool = False,
) -> Encoded:
    """Token ids of rows.

    Args:
        task: how rows are rendered and which choices there are.
        rows: to encode.
        layout: placement, backbone.
        answers: `choices` (every choice, in order), `own` (the row's answer) or `none`.
        chat: whether the model's chat template is used.
        drop_long: leave out rows that do not fit into the window instead of refusing them.

    Raises:
        DataError: rows do not fit; the first is named and all are counted.
    """
    template = layout.backbone.chat if chat else None
    # The layout puts the opening token; a template that begins with its text does not mean two.
    opening = layout.backbone.opening
    if task.template is None or not task.template.text.startswith(opening):
        opening = ""
    choices = [choice.wording for choice in task.choices]
    examples: list[Example] = []
    kept: list[Row] = []
    too_long: list[TooLongError] = []
    for row in rows:
        own = [] if row.answer is None else [task.wording(row.answer)]
        wanted = {"choices": choices, "own": own, "none": []}[answers]
        try:
            rendered = _without(opening, task.render(row, template))
            examples.append(layout.example(rendered, wanted, row.place))
            kept.append(row)
        except TooLongError as error:
            too_long.append(error)
    if too_long and not drop_long:
        message, more = too_long[0].message, len(too_long) - 1
        if more:
            message += " " + ngettext(
                "{n} more row is too long as well.", "{n} more rows are too long as well.", more
            ).format(n=more)
        raise DataError(message, too_long[0].hint)
    return Encoded(tuple(examples), tuple(kept), len(too_long))


def _without(opening: str, rendered: Rendered) -> Rendered:
    """Parts whose first text does not begin with the opening token's."""
    first = rendered.parts[0] if rendered.parts else ""
    if not opening or not isinstance(first, str):
        return rendered
    kept = first.removeprefix(opening)
    return replace(rendered, parts=(*((kept,) if kept else ()), *rendered.parts[1:]))
