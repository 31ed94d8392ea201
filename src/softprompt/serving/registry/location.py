"""Where the index of a folder is kept when nobody says so."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import URL

from softprompt.errors import UsageError
from softprompt.inference.context_store import cache_folder
from softprompt.serving.registry.changes import Changes
from softprompt.serving.registry.database import MEMORY, address
from softprompt.serving.registry.folder import PromptFolder
from softprompt.storage import sha256

__all__ = ["index_location"]

_FILE = "index.sqlite"


def index_location(
    folder: PromptFolder, changes: Changes, url: str | None
) -> tuple[str, URL, bool]:
    """What names the folder in an index, where that is, and whether it is the registry's own.

    Args:
        folder: of the prompts.
        changes: that write into it.
        url: of a database that the user names; None for a file of the registry's own: in the
            folder, in the user's cache where that is read-only, or else in memory.

    Raises:
        UsageError: the address is none.
    """
    named = None if url is None else address(url)
    path_uid = f"path-{sha256(str(folder.root.resolve()).encode())[:32]}"
    if not folder.root.is_dir():
        return path_uid, named or address(MEMORY), False
    try:
        uid = changes.uid()
    except UsageError:
        uid = path_uid
    if named is not None:
        return uid, named, False
    file = folder.own / _FILE
    if not os.access(folder.own, os.W_OK) or (file.exists() and not os.access(file, os.W_OK)):
        cache = _cached(path_uid)
        if cache is None:
            return uid, address(MEMORY), False
        file = cache
    return uid, URL.create("sqlite", database=str(file)), True


def _cached(uid: str) -> Path | None:
    root = cache_folder()
    if root is None:
        return None
    place = root.parent / "registry"
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return None
    return place / f"{uid}.sqlite"
