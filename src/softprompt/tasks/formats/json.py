"""JSON: a list of objects, alone or as the one list of an object, or columns as pandas has them."""

from __future__ import annotations

import json
from pathlib import Path

from softprompt.errors import DataError
from softprompt.locale import _, mark
from softprompt.storage import sha256
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.decoding import decode
from softprompt.tasks.formats.jsonl import records_of_lines
from softprompt.tasks.table import READERS, Table, file_bytes, make_table

__all__ = ["read_json"]

_CURE = mark('Write a list of objects, for example [{"text": "...", "label": "..."}, ...].')


@READERS.register(".json")
def read_json(source: str, config: TaskConfig) -> Table:
    """Reads a JSON file; one that holds JSON Lines is read as such.

    Raises:
        DataError: the file is not JSON (line and character are named) or holds no records.
    """
    content = file_bytes(source)
    name = Path(source).name
    text = decode(content, source=name, encoding=config.encoding)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # a complete value, and more after it
            return make_table(name, records_of_lines(text, name), sha256(content))
        raise DataError(
            _("{source}: line {line} is not JSON: {reason} at character {place}.").format(
                source=name, line=error.lineno, reason=error.msg, place=error.colno
            ),
            _(_CURE),
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(
            _("{source} is not JSON that can be read: {reason}.").format(source=name, reason=error),
            _(_CURE),
        ) from error
    return make_table(name, _records(value, name), sha256(content))


def _records(value: object, source: str) -> list[dict[str, object]]:
    if isinstance(value, dict):
        lists = [inner for inner in value.values() if isinstance(inner, list)]
        if value and all(isinstance(inner, dict) for inner in value.values()):
            return _records_of_columns(value)
        if len(lists) != 1:
            raise DataError(
                _(
                    "{source} holds an object with {n} lists, where one list of records is wanted."
                ).format(source=source, n=len(lists)),
                _(_CURE),
            )
        value = lists[0]
    if not isinstance(value, list):
        raise DataError(
            _("{source} holds {type}, not a list of objects.").format(
                source=source, type=type(value).__name__
            ),
            _(_CURE),
        )
    for number, record in enumerate(value, start=1):
        if not isinstance(record, dict):
            raise DataError(
                _("{source}: record {n} is {type}, not an object.").format(
                    source=source, n=number, type=type(record).__name__
                ),
                _(_CURE),
            )
    return value


def _records_of_columns(columns: dict[str, dict[str, object]]) -> list[dict[str, object]]:
    """Records of {"column": {"row": value}}, the form of `DataFrame.to_json()`."""
    keys = dict.fromkeys(key for column in columns.values() for key in column)
    return [{name: column.get(key) for name, column in columns.items()} for key in keys]
