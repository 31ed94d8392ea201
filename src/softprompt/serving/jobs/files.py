"""Uploaded tables: a folder for each, with the content under a name of our own.

    files/file-3f.../file.json          name, owner, size, time
    files/file-3f.../file-3f....jsonl   the content

No name that a client gives becomes a path. It does not know what the tables mean, nor which jobs
use them.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import shutil
import time
import unicodedata
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from softprompt.errors import UsageError, nearest
from softprompt.serving.jobs.limits import JobLimits
from softprompt.serving.jobs.refusals import ItemStateError, UnknownItemError
from softprompt.serving.jobs.viewer import Viewer
from softprompt.storage import atomic_folder, disk_errors, write_json
from softprompt.tasks.formats import READERS

__all__ = ["FileStore", "StoredFile"]

_log = logging.getLogger("softprompt.jobs")
_ABOUT = "file.json"
_ID = re.compile(r"file-[0-9a-f]{24}")
_MOST_LETTERS = 200
_CHUNK = 1 << 20


@dataclass(frozen=True)
class StoredFile:
    """What is known of a file.

    Args:
        id: `file-` and 24 hexadecimal digits.
        name: as its owner calls it.
        suffix: that says its format, with the dot.
        bytes: its size.
        created: seconds since 1970.
        owner: ID of the key that uploaded it; None on a server without keys.
    """

    id: str
    name: str
    suffix: str
    bytes: int
    created: int
    owner: str | None


class FileStore:
    """Files in a folder.

    Args:
        folder: for them alone.
        limits: how many and how large.
    """

    def __init__(self, folder: Path, limits: JobLimits) -> None:
        self._folder, self._limits, self._lock = folder, limits, Lock()
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.glob(".*"):
                shutil.rmtree(left, ignore_errors=True)
        self._files = {file.id: file for file in map(_read, sorted(folder.iterdir())) if file}

    def add(self, name: str, content: BinaryIO, viewer: Viewer) -> StoredFile:
        """Keeps a file.

        Raises:
            UsageError: the name cannot be one, the format is unknown, the file is empty, or there
                is no room on the disk.
            ItemStateError: the owner has too many files, or all of them are too large.
        """
        name = _checked_name(name)
        suffix = Path(name).suffix.lower()
        id_ = f"file-{secrets.token_hex(12)}"
        try:
            with atomic_folder(self._folder / id_) as fresh:
                place = fresh / f"{id_}{suffix}"
                with place.open("wb") as file:
                    shutil.copyfileobj(content, file, _CHUNK)
                size = place.stat().st_size
                if size == 0:
                    raise UsageError("The file is empty.", "Put at least a few dozen rows into it.")
                stored = StoredFile(id_, name, suffix, size, int(time.time()), viewer.owner)
                write_json(fresh / _ABOUT, asdict(stored))
                with self._lock:
                    self._check_room(stored)
                    # From here on it counts, so that two at a time find no room that is for one.
                    self._files[id_] = stored
        except BaseException:
            with self._lock:
                self._files.pop(id_, None)
            raise
        return stored

    def get(self, file_id: str, viewer: Viewer) -> StoredFile:
        """The file of an ID.

        Raises:
            UnknownItemError: there is none that is seen.
        """
        file = self._files.get(file_id)
        if file is None or not viewer.may_see(file.owner):
            raise UnknownItemError(
                f"There is no file {file_id[:60]!r}.", "GET /v1/files lists what there is."
            )
        return file

    def all(self, viewer: Viewer) -> list[StoredFile]:
        """The files that are seen, the newest first."""
        with self._lock:
            files = list(self._files.values())
        seen = [file for file in files if viewer.may_see(file.owner)]
        return sorted(seen, key=lambda file: (-file.created, file.id))

    def path(self, file: StoredFile) -> Path:
        """Where the content is."""
        return self._folder / file.id / f"{file.id}{file.suffix}"

    def open(self, file: StoredFile) -> BinaryIO:
        """The content, to be read in pieces: many may be sent at once.

        Raises:
            UnknownItemError: it was deleted at this moment.
        """
        try:
            return self.path(file).open("rb")
        except FileNotFoundError as error:
            raise UnknownItemError(f"There is no file {file.id!r} any more.") from error

    def delete(self, file: StoredFile) -> None:
        """Removes a file; whether it is in use was seen to.

        Raises:
            UsageError: the folder cannot be written.
        """
        # Gone in one step, however large it is.
        bin_ = self._folder / f".{file.id}"
        with disk_errors(bin_):
            (self._folder / file.id).rename(bin_)
        with self._lock:
            self._files.pop(file.id, None)
        shutil.rmtree(bin_, ignore_errors=True)

    def _check_room(self, stored: StoredFile) -> None:
        owned = sum(file.owner == stored.owner for file in self._files.values())
        if owned >= self._limits.files_each:
            raise ItemStateError(
                f"There are {owned} files already, which is all that is kept.",
                "Delete some first.",
                "storage_limit",
            )
        used = sum(file.bytes for file in self._files.values())
        if used + stored.bytes > self._limits.storage_bytes:
            raise ItemStateError(
                f"The server keeps {self._limits.storage_bytes} bytes of files, and {used} are in "
                "use.",
                "Delete some first.",
                "storage_limit",
            )


def _checked_name(name: str) -> str:
    """The name in NFC.

    Raises:
        UsageError: it is none, or its suffix says no format.
    """
    name = unicodedata.normalize("NFC", name)
    plain = name.isprintable() and not set(name) & set('/\\:"') and not name.startswith(".")
    if not plain or not 0 < len(name) <= _MOST_LETTERS:
        raise UsageError(
            f"{name[:_MOST_LETTERS]!r} cannot be the name of a file.",
            "Take printable characters, no slashes, quotes or colons, and no dot at the start.",
        )
    suffix = Path(name).suffix.lower()
    known = [each for each in READERS if each.startswith(".")]
    if suffix not in known:
        raise UsageError(
            f"The name {name!r} has the suffix {suffix!r}, which is no known file format.",
            nearest(suffix, known),
        )
    return name


def _read(folder: Path) -> StoredFile | None:
    """What lies in a folder; None, and a word in the log, where it is no file of ours."""
    try:
        value = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        file = StoredFile(**value)
    except (OSError, ValueError, TypeError):
        _log.warning("what lies in %s is no uploaded file", folder)
        return None
    whole = _ID.fullmatch(file.id) and file.id == folder.name
    return file if whole else None
