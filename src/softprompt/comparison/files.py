"""The files that a comparison reads beside its task's rows. It does not know what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from softprompt.comparison.config import CompareConfig
from softprompt.errors import DataError, system_reason
from softprompt.locale import _
from softprompt.storage import sha256
from softprompt.tasks import Task, TaskConfig

__all__ = ["hashes", "rows_of"]

_HUB = "hf:"
_COLUMNS = ("--input", "--target")


def hashes(how: CompareConfig) -> dict[str, str]:
    """Digests of general text, domain and the other task by file name; a hub's sets have none.

    Raises:
        DataError: a file cannot be read.
    """
    found = {}
    for name in filter(None, (how.general, how.domain, how.other)):
        if name.startswith(_HUB):
            continue
        try:
            found[name] = sha256(Path(name).read_bytes())
        except OSError as error:
            raise DataError(
                _("The file {name} cannot be read: {error}.").format(
                    name=name, error=system_reason(error)
                ),
                _("Put it back, or name a file that can be read."),
            ) from error
    return found


def rows_of(file: str, settings: TaskConfig, flags: Mapping[str, str], lacking: str = "") -> Task:
    """The rows of such a file.

    Args:
        file: name of a file, or a hub's set.
        settings: how it is read.
        flags: that name its columns, by those that name the task's own.
        lacking: what to do in the place of a hint at a flag that it has no counterpart of.

    Raises:
        DataError: it cannot be read, with a hint that names flags of this file and no others.
    """
    try:
        return Task.from_file(file, settings)
    except DataError as error:
        hint = error.hint
        if "--encoding" in hint:
            hint = _("Save the file as UTF-8.")
        for flag in dict.fromkeys((*_COLUMNS, *flags)):
            if flag in hint:
                hint = hint.replace(flag, flags[flag]) if flag in flags else lacking
        raise DataError(error.message, hint) from error
