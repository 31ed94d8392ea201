"""Where the index of a folder is kept when nobody says so."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL

from softprompt.errors import UsageError
from softprompt.inference.context_store import cache_folder
from softprompt.serving.registry.changes import Changes
from softprompt.serving.registry.database import MEMORY, address
from softprompt.serving.registry.folder import PromptFolder
from softprompt.storage import sha256

__all__ = ["Location", "index_location"]

_FILE = "index.sqlite"


@dataclass(frozen=True)
class Location:
    """Where the rows of a folder are.

    Args:
        uid: what names the folder in the database.
        url: of the database.
        own: whether it is the registry's own file, to be made anew when it is damaged.
    """

    uid: str
    url: URL
    own: bool


def index_location(folder: PromptFolder, changes: Changes, url: str | None) -> Location | None:
    """Where the index of a folder is.

    Args:
        folder: of the prompts.
        changes: that write into it.
        url: of a database that the user names; None for a file of the registry's own: in the
            folder, in the user's cache where that is read-only, or else in memory.

    Returns:
        None while there is no folder.

    Raises:
        UsageError: the address is none.
    """
    named = None if url is None else address(url)
    if not folder.root.is_dir():
        return None
    path_uid = f"path-{sha256(str(folder.root.resolve()).encode())[:32]}"
    try:
        uid = changes.uid()
    except UsageError:
        uid = path_uid
    if named is not None:
        return Location(uid, named, own=False)
    file: Path | None = folder.own / _FILE
    if not os.access(folder.own, os.W_OK) or (
        (folder.own / _FILE).exists() and not os.access(folder.own / _FILE, os.W_OK)
    ):
        file = _cached(path_uid)
    if file is None:
        return Location(uid, address(MEMORY), own=False)
    return Location(uid, URL.create("sqlite", database=str(file)), own=True)


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
