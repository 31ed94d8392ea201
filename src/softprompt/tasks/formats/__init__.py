"""The file formats that a task can be read from, one file each, and the choice among them.

Knows suffixes and schemes, nothing of what the records mean.
"""

from __future__ import annotations

from pathlib import Path

from softprompt.errors import DataError, nearest
from softprompt.locale import _, mark
from softprompt.registry import discover
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.table import READERS, Table, file_bytes

__all__ = ["READERS", "read_table"]

_CURES = {
    ".xlsx": mark("Save the sheet as CSV."),
    ".xls": mark("Save the sheet as CSV."),
    ".gz": mark("Unpack it first."),
    ".xz": mark("Unpack it first."),
    ".zip": mark("Unpack it first."),
}


def read_table(source: str | Path, config: TaskConfig) -> Table:
    """The records of a file, or of a data set named as `hf:NAME`.

    Raises:
        DataError: the format is unknown, or the file cannot be read as what its suffix says.
    """
    address = str(source)
    scheme, colon, _rest = address.partition(":")
    if colon and f"{scheme}:" in READERS:
        return READERS.get(f"{scheme}:")(address, config)
    suffix = Path(address).suffix.lower()
    if suffix not in READERS:
        file_bytes(address)  # a file that is not there is not one of the wrong kind
        raise DataError(
            _("{file} has the suffix {suffix!r}, which is no known file format.").format(
                file=address, suffix=suffix
            ),
            _(_CURES[suffix]) if suffix in _CURES else nearest(suffix, READERS),
        )
    return READERS.get(suffix)(address, config)


discover(__name__, list(__path__))
