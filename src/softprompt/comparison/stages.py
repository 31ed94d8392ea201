"""Parts of a method that are done once: what a part came to is kept, and a method that was stopped
goes on after it. It does not know what the parts do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from softprompt.storage import write_json

__all__ = ["kept", "stage"]


def stage(file: Path, do: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a part came to, done now or before.

    Args:
        file: where it is kept; written when the part is done.
        do: does the part; what it gives is plain data.
    """
    found = kept(file)
    if found is None:
        found = do()
        write_json(file, found)
    return found


def kept(file: Path) -> dict[str, Any] | None:
    """What was written down there; None where nothing was, or nothing that can be read."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
