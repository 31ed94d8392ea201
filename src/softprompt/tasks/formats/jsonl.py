"""JSON Lines: one JSON object a line."""

from __future__ import annotations

import json
from pathlib import Path

from softprompt.errors import DataError
from softprompt.locale import _
from softprompt.storage import sha256
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.decoding import decode
from softprompt.tasks.table import READERS, Table, file_bytes, make_table

__all__ = ["read_jsonl", "records_of_lines"]


@READERS.register(".jsonl")
@READERS.register(".ndjson")
def read_jsonl(source: str, config: TaskConfig) -> Table:
    """Reads a JSON Lines file; blank lines are skipped.

    Raises:
        DataError: a line is not a JSON object; its number is named.
    """
    content = file_bytes(source)
    name = Path(source).name
    text = decode(content, source=name, encoding=config.encoding)
    return make_table(name, records_of_lines(text, name), sha256(content))


def records_of_lines(text: str, source: str) -> list[dict[str, object]]:
    """The objects of the lines.

    Raises:
        DataError: a line is not a JSON object; its number is named.
    """
    records = []
    # Not splitlines(): a JSON text may hold the other characters at which that splits.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                _("{source}: line {line} is not JSON: {reason} at character {place}.").format(
                    source=source, line=number, reason=error.msg, place=error.colno
                ),
                _("Write one complete JSON object on each line."),
            ) from error
        except (ValueError, RecursionError) as error:
            raise DataError(
                _("{source}: line {line} is not JSON that can be read: {reason}.").format(
                    source=source, line=number, reason=error
                ),
                _("Write one complete JSON object on each line."),
            ) from error
        if not isinstance(record, dict):
            raise DataError(
                _("{source}: line {line} holds {type}, not a JSON object.").format(
                    source=source, line=number, type=type(record).__name__
                ),
                _('Write an object on each line, for example {"text": "...", "label": "..."}.'),
            )
        records.append(record)
    return records
