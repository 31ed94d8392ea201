"""A file's records before anyone asks what they mean, and the register of file formats.

Knows nothing of inputs, answers or splits. A format is a file in `formats/` that registers a reader
under a suffix (".csv") or a scheme ("hf:").
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from softprompt.errors import DataError, system_reason
from softprompt.locale import _, mark
from softprompt.registry import Registry
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.text import one_line

__all__ = ["READERS", "Reader", "Table", "file_bytes", "make_table", "named_classes"]


@dataclass(frozen=True)
class Table:
    """Records as a file holds them.

    `source` is the file's name as messages call it, `columns` all column names in order of first
    appearance, `digest` the hexadecimal SHA-256 of the file.
    """

    source: str
    columns: tuple[str, ...]
    records: tuple[Mapping[str, object], ...]
    digest: str


Reader = Callable[[str, TaskConfig], Table]
"""Reads the data set that a path or address names; raises DataError."""

READERS: Registry[Reader] = Registry(mark("file format"))


def make_table(source: str, records: Sequence[Mapping[str, object]], digest: str) -> Table:
    """A table whose column names are normalised.

    Raises:
        DataError: there are no records.
    """
    if not records:
        raise DataError(
            _("{source} holds no rows.").format(source=source),
            _("Put at least a few dozen rows into it."),
        )
    names: dict[str, str] = {}
    for record in records:
        for name in record:
            if name not in names:
                names[name] = one_line(str(name))
    kept = tuple({names[name]: value for name, value in record.items()} for record in records)
    return Table(source, tuple(dict.fromkeys(names.values())), kept, digest)


def file_bytes(source: str) -> bytes:
    """The content of a file.

    Raises:
        DataError: there is no such file, it is a folder, may not be read, or is empty.
    """
    path = Path(source)
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            _("There is no file {file}.").format(file=source), _similar(path)
        ) from error
    except IsADirectoryError as error:
        raise DataError(
            _("{file} is a folder, not a file.").format(file=source), _("Name one file of it.")
        ) from error
    except OSError as error:
        raise DataError(
            _("Cannot read {file}: {reason}.").format(file=source, reason=system_reason(error)),
            _("Check its permissions."),
        ) from error
    if not content.strip(b"\xef\xbb\xbf \t\r\n"):
        raise DataError(
            _("{file} is empty.").format(file=source), _("Put at least a few dozen rows into it.")
        )
    return content


def named_classes(
    records: Sequence[Mapping[str, object]], column: str, names: Sequence[str]
) -> list[Mapping[str, object]]:
    """The records with a column's class numbers replaced by their names; -1 means no class."""

    def name(value: object) -> object:
        if isinstance(value, int) and not isinstance(value, bool):
            return names[value] if 0 <= value < len(names) else None
        return value

    return [{**record, column: name(record.get(column))} for record in records]


def _similar(path: Path) -> str:
    if not path.parent.is_dir():
        return _("There is no folder {folder} either.").format(folder=path.parent)
    others = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    close = difflib.get_close_matches(path.name, others, n=1, cutoff=0.5)
    if not close:
        return _("Check the path.")
    return _("Did you mean {file}?").format(file=path.parent / close[0])
