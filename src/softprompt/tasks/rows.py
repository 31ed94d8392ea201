"""A row of a task: its columns as text, and its answer.

Knows the layouts that `layout` finds and nothing of files, splits or labels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from softprompt.errors import DataError
from softprompt.locale import _
from softprompt.tasks.layout import Layout
from softprompt.tasks.table import Table
from softprompt.tasks.text import as_text, is_blank, normalise

__all__ = [
    "SEPARATOR",
    "Row",
    "conversation",
    "input_text",
    "is_conversation",
    "is_empty",
    "make_rows",
]

Message = Mapping[str, str]
SEPARATOR = "\x1f"  # between the columns of an input, where it is hashed or compared as one text
_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}


@dataclass(frozen=True)
class Row:
    """One record of a file.

    `number` counts records from 1; a header is not counted. `columns` holds all of the record's
    columns as normalised text. `answer` is the label or the reference text, None where the file
    has none. `messages` holds a conversation up to its last assistant message, which is the answer.
    """

    source: str
    number: int
    columns: Mapping[str, str]
    answer: str | None
    messages: tuple[Message, ...] = ()

    @property
    def place(self) -> str:
        """File and record number, as error messages name them."""
        return _place(self.source, self.number)


def _place(source: str, number: int) -> str:
    return _("{source}: row {n}").format(source=source, n=number)


def input_text(row: Row, inputs: Sequence[str]) -> str:
    """The row's input alone, the same for all rows with the same input; splits hash this text."""
    if row.messages:
        return SEPARATOR.join(
            f"{message['role']}: {message['content']}" for message in row.messages
        )
    return SEPARATOR.join(row.columns[name] for name in inputs)


def is_empty(row: Row, inputs: Sequence[str]) -> bool:
    """Whether nothing visible stands in any of the row's input columns."""
    if row.messages:
        return all(is_blank(message["content"]) for message in row.messages)
    return all(is_blank(row.columns[name]) for name in inputs)


def make_rows(table: Table, layout: Layout) -> tuple[Row, ...]:
    """The rows of a table, in its order.

    Raises:
        DataError: an input or answer is a list or an object where text is wanted, or a
            conversation is not one.
    """
    return tuple(
        _conversation(table, number, record, layout)
        if layout.messages
        else _record(table, number, record, layout)
        for number, record in enumerate(table.records, start=1)
    )


def _texts(table: Table, record: Mapping[str, object]) -> dict[str, str]:
    return {name: as_text(record.get(name)) for name in table.columns}


def _record(table: Table, number: int, record: Mapping[str, object], layout: Layout) -> Row:
    target = () if layout.target is None else (layout.target,)
    for name in (*layout.inputs, *target):
        if isinstance(record.get(name), list | dict):
            raise DataError(
                _(
                    "{place} holds a list or an object in the column {name!r}, where text is"
                    " wanted."
                ).format(place=_place(table.source, number), name=name),
                _(
                    "Put the text into a column of its own, or name other columns with --input and"
                    " --target."
                ),
            )
    columns = _texts(table, record)
    answer = None if layout.target is None else columns.get(layout.target) or None
    if answer is not None and is_blank(answer):
        answer = None
    return Row(table.source, number, columns, answer)


def _conversation(table: Table, number: int, record: Mapping[str, object], layout: Layout) -> Row:
    place = _place(table.source, number)
    messages, answer = conversation(record.get(layout.inputs[0]), place, layout.inputs[0])
    return Row(table.source, number, _texts(table, record), answer, messages)


def conversation(
    value: object, place: str, column: str
) -> tuple[tuple[dict[str, str], ...], str | None]:
    """The messages of a conversation up to its last one by the assistant, which is the answer; None
    where it ends with another's.

    Args:
        value: a list of messages, or its JSON.
        place: of the row, for messages.
        column: its name.

    Raises:
        DataError: it is no conversation, or nothing stands before the answer.
    """
    messages, answer = _messages_of(value, place, column), None
    if messages[-1]["role"] == "assistant":
        answer = messages.pop()["content"] or None
    if not messages:
        raise DataError(
            _("{place} has an assistant message only, and nothing that it answers.").format(
                place=place
            ),
            _("Put a user message before it."),
        )
    return tuple(messages), answer


def is_conversation(text: str) -> bool:
    """Whether a text is the JSON of a list of messages."""
    found = _parsed(text)
    return isinstance(found, list) and bool(found) and all(isinstance(x, dict) for x in found)


def _messages_of(value: object, place: str, column: str) -> list[dict[str, str]]:
    """All messages of a conversation: a list of them, or its JSON.

    Args:
        value: what the column holds.
        place: of the row, for messages.
        column: its name.

    Raises:
        DataError: it is no conversation.
    """
    if isinstance(value, str):
        value = _parsed(value)
    if not isinstance(value, list | tuple) or not value:
        raise DataError(
            _("{place} has no list of messages in the column {column!r}.").format(
                place=place, column=column
            ),
            _(
                'Write [{"role": "user", "content": "..."},'
                ' {"role": "assistant", "content": "..."}].'
            ),
        )
    return [_message(place, message) for message in value]


def _message(place: str, message: object) -> dict[str, str]:
    if isinstance(message, dict):
        role = message.get("role", message.get("from"))
        content = message.get("content", message.get("value"))
        if isinstance(role, str) and isinstance(content, str):
            return {"role": _ROLES.get(role, role), "content": normalise(content)}
    raise DataError(
        _("{place} has a message without a role and a content that are text: {message!r}.").format(
            place=place, message=str(message)[:60]
        ),
        _('Write each message as {"role": "user", "content": "..."}.'),
    )


def _parsed(value: str) -> object:
    try:
        return json.loads(value)
    except ValueError:
        return None
