"""Predictions beside the columns that they answer, as CSV, TSV, JSON Lines or JSON.

Knows records and how they are written, not where they come from.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from softprompt.errors import UsageError, nearest
from softprompt.locale import _

__all__ = ["SUFFIXES", "added_columns", "render", "suffix_of"]

Records = Sequence[Mapping[str, Any]]


def _csv(columns: Sequence[str], records: Records, delimiter: str = ",") -> str:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    for record in records:
        writer.writerow([_cell(record.get(name)) for name in columns])
    return buffer.getvalue()


def _tsv(columns: Sequence[str], records: Records) -> str:
    return _csv(columns, records, "\t")


def _jsonl(columns: Sequence[str], records: Records) -> str:
    return "".join(_json_text(record) + "\n" for record in records)


def _json(columns: Sequence[str], records: Records) -> str:
    return "[\n" + ",\n".join(_json_text(record) for record in records) + "\n]\n"


_WRITERS: Mapping[str, Callable[[Sequence[str], Records], str]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".tab": _tsv,
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
}
SUFFIXES = tuple(_WRITERS)


def suffix_of(path: str) -> str:
    """The suffix that decides the format.

    Raises:
        UsageError: there is no format of that suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _WRITERS:
        raise UsageError(
            _("Predictions cannot be written as {suffix!r} ({path}).").format(
                suffix=suffix, path=path
            ),
            nearest(suffix, _WRITERS),
        )
    return suffix


def added_columns(columns: Sequence[str]) -> tuple[str, str]:
    """The names of the two columns added; a name that is taken gets `predicted_` before it."""
    names = []
    for name in ("answer", "probability"):
        while name in columns:
            name = f"predicted_{name}"  # noqa: PLW2901
        names.append(name)
    return names[0], names[1]


def render(suffix: str, columns: Sequence[str], records: Records) -> str:
    """The records as text.

    Args:
        suffix: of a format that there is.
        columns: names, in the order that tables have them.
        records: values by column.
    """
    return _WRITERS[suffix](columns, records)


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return _json_text(value)
    return value


def _json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
