"""A file's rows for a prompt that is already trained: read, checked for what scoring needs.

Keeps the records as the file has them, so that they can be written out again unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from softprompt.cli.streams import warn
from softprompt.errors import DataError, nearest
from softprompt.locale import _
from softprompt.prompts import PromptTask
from softprompt.tasks import Row, TaskConfig
from softprompt.tasks.formats import read_table
from softprompt.tasks.layout import input_layout
from softprompt.tasks.rows import is_empty, make_rows
from softprompt.tasks.table import Table

__all__ = ["PromptFile", "answered_rows", "file_settings", "full_rows", "read"]


@dataclass(frozen=True)
class PromptFile:
    """A file as it is, and its rows as the prompt reads them, in the same order."""

    table: Table
    rows: tuple[Row, ...]
    inputs: tuple[str, ...]


def file_settings(**settings: Any) -> TaskConfig:
    """How the file is read; None values are left out.

    Raises:
        ConfigError: a value that cannot be.
    """
    return TaskConfig.from_settings({k: v for k, v in settings.items() if v is not None})


def read(path: str, task: PromptTask, settings: TaskConfig) -> PromptFile:
    """The rows of a file.

    Raises:
        DataError: the file cannot be read, or an input column is absent.
    """
    table = read_table(path, settings)
    layout = input_layout(table, task.inputs, task.target)
    return PromptFile(table, make_rows(table, layout), layout.inputs)


def full_rows(file: PromptFile) -> tuple[Row, ...]:
    """All rows, none of which is empty.

    Raises:
        DataError: some are empty; the first ones are named.
    """
    empty = [row for row in file.rows if is_empty(row, file.inputs)]
    if empty:
        raise DataError(
            _("In {source} the input is empty in rows {rows} ({n} in all).").format(
                source=file.table.source, n=len(empty), rows=_numbers(empty)
            ),
            _("Fill or remove them."),
        )
    return file.rows


def answered_rows(
    file: PromptFile, task: PromptTask, *, slice_column: str | None, drop_empty: bool
) -> tuple[Row, ...]:
    """The rows that can be scored.

    Raises:
        DataError: a column is absent, or rows are empty and not to be dropped.
    """
    columns = file.table.columns
    if all(row.answer is None for row in file.rows) and task.target not in columns:
        raise DataError(
            _("{source} has no column {name!r}, which the answers are in.").format(
                source=file.table.source, name=task.target
            ),
            nearest(task.target, columns),
        )
    if slice_column is not None and slice_column not in columns:
        raise DataError(
            _("{source} has no column {name!r} to slice by.").format(
                source=file.table.source, name=slice_column
            ),
            nearest(slice_column, columns),
        )
    lacking = [row for row in file.rows if row.answer is None or is_empty(row, file.inputs)]
    if lacking and not drop_empty:
        raise DataError(
            _("In {source} the input or answer is empty in rows {rows} ({n} in all).").format(
                source=file.table.source, n=len(lacking), rows=_numbers(lacking)
            ),
            _("Fill or remove them, or leave them out with --drop-empty."),
        )
    if lacking:
        warn(_("Rows left out for an empty input or answer: {n}.").format(n=len(lacking)))
    left_out = {row.number for row in lacking}
    rows = tuple(row for row in file.rows if row.number not in left_out)
    if not rows:
        raise DataError(
            _("No row of {source} has both an input and an answer.").format(
                source=file.table.source
            ),
            _("Fill the columns, or name another file."),
        )
    return rows


def _numbers(rows: Sequence[Row]) -> str:
    listed = ", ".join(str(row.number) for row in rows[:5])
    return f"{listed}, ..." if len(rows) > 5 else listed
