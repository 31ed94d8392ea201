"""The files that a comparison reads beside its task's rows. It does not know what is in them."""

from __future__ import annotations

from pathlib import Path

from softprompt.comparison.config import CompareConfig
from softprompt.errors import DataError, system_reason
from softprompt.locale import _
from softprompt.storage import sha256

__all__ = ["hashes"]

_HUB = "hf:"


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
