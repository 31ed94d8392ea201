"""The folder of a registry as it is read: names, their versions, their records.

    prompts/
      reviews/prompt.json ...         an artifact as it was dropped there: version 1
      news/1/prompt.json ...          versions 1 and 2
      news/2/prompt.json ...
      news/name.json                  which is current, aliases, tags; without it the highest
      .registry/                      the registry's own: lock, index, what is being written

Nothing but the folder decides. Links are not followed, so nothing outside it is ever served, and
what is damaged is reported and not touched. It changes nothing.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path

from softprompt.errors import ArtifactError, UsageError
from softprompt.serving.registry.examination import FILES, digest_of, examine, holds_artifact
from softprompt.serving.registry.names import is_name
from softprompt.serving.registry.record import Intent, Record
from softprompt.serving.registry.state import LOOSE, State, Stored

__all__ = ["INTENT", "OWN", "RECORD", "RECORD_COPY", "PromptFolder"]

OWN = ".registry"
RECORD, RECORD_COPY, INTENT = "name.json", ".name.json", "version.json"
_WATCHED = ("", RECORD)
_CONTENT = FILES[:2]
_PASSING = {
    errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT,
    errno.ESTALE,
}  # fmt: skip
_SETTLED_NS = 100_000_000
"""A change in the same tick of the file system's clock leaves no trace in the times of a file."""


class PromptFolder:
    """A folder of prompts.

    Args:
        root: the folder; it need not exist yet.

    Raises:
        UsageError: something else than a folder stands there, or a prompt.
    """

    def __init__(self, root: Path) -> None:
        if root.exists() and not root.is_dir():
            raise UsageError(f"{root} is no folder.", "Name the folder that holds the prompts.")
        if holds_artifact(root):
            hint = f"Name the folder that holds it: {root.parent}."
            raise UsageError(f"{root} is a prompt.", hint)
        self.root, self._text = root, str(root)

    @property
    def own(self) -> Path:
        """Where the registry keeps what is its own."""
        return self.root / OWN

    def entries(self) -> tuple[list[str], dict[str, str]]:
        """Names below the folder, and what cannot be a name with the reason."""
        names: list[str] = []
        strange: dict[str, str] = {}
        try:
            with os.scandir(self.root) as found:
                for entry in found:
                    if entry.name.startswith(".") or entry.is_file(follow_symlinks=False):
                        continue
                    if is_name(entry.name):
                        names.append(entry.name)
                    else:
                        strange[_printable(entry.name)] = "The folder's name cannot be a prompt's."
        except FileNotFoundError:
            pass
        return sorted(names), strange

    def stamp(self, name: str, known: State | None) -> str | None:
        """What changes when something under a name does.

        Args:
            name: of a prompt.
            known: what was read before; it says which files have to be looked at.

        Returns:
            "" where a change is too recent to be told from another; None where nothing is there.
        """
        folder = f"{self._text}/{name}"
        stamps = [_stamp(folder, _WATCHED)]
        if stamps[0] is None:
            return None
        for stored in known.versions if known is not None else ():
            if _moves(stored):
                place = f"{folder}/{stored.place}" if stored.place else folder
                stamps.append(_stamp(place, _CONTENT))
        return " ".join(map(str, stamps)) if all(stamps) else ""

    def read(self, name: str, known: State | None = None) -> State | None:
        """What lies under a name.

        Args:
            name: of a prompt, checked.
            known: what was read before; versions whose files are as they were are taken from it.

        Returns:
            None where nothing is there.
        """
        folder = self.root / name
        try:
            before = _stamp(folder, _WATCHED)
            if folder.is_symlink():
                problem = "The folder is a link. Copy the folder itself here."
                return State(name, before or "", Record(), (), problem)
            places = self._places(folder)
            earlier = {stored.place: stored for stored in known.versions} if known else {}
            versions = tuple(
                self._version(folder, number, place, earlier.get(place))
                for number, place in sorted(places.items())
            )
            record, problem = _record(folder)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if before is None or not (versions or problem):
            return None
        numbered = {stored.number: stored for stored in versions if stored.number != LOOSE}
        intents = {
            number: None if stored.facts is None else _intent(folder, stored.place)
            for number, stored in numbered.items()
            if stored.facts is None or record.last is None or number > record.last
        }
        record = record.among({**dict.fromkeys(numbered, Intent()), **intents})
        # Stamps are older than what was read under them, so that no change hides behind one.
        stamps = [before, *(stored.stamp for stored in versions if _moves(stored))]
        settled = all(stamps) and before == _stamp(folder, _WATCHED)
        return State(name, " ".join(stamps) if settled else "", record, versions, problem)

    def path(self, name: str, place: str) -> Path:
        """Where a version lies."""
        return self.root / name / place if place else self.root / name

    def _places(self, folder: Path) -> dict[int, str]:
        """The folder of each version below the name's, by number."""
        with os.scandir(folder) as found:
            numbers = [
                int(entry.name)
                for entry in found
                if entry.name.isascii()
                and entry.name.isdecimal()
                and not entry.name.startswith("0")
                and len(entry.name) < 10
            ]
        places = {number: str(number) for number in numbers}
        if holds_artifact(folder) and not (1 in places and _same(folder, folder / "1")):
            places[LOOSE if 1 in places else 1] = ""
        return places

    def _version(self, folder: Path, number: int, place: str, known: Stored | None) -> Stored:
        path = folder / place if place else folder
        stamp = _stamp(path, _CONTENT) or ""
        if known is not None and stamp and known.stamp == stamp and known.number == number:
            return known
        if number == LOOSE:
            problem = (
                "Files of an artifact lie beside the versions of this name. "
                "Add it with `softprompt prompts add`, or remove them."
            )
            return Stored(number, place, stamp, None, problem)
        try:
            if place and path.is_symlink():
                raise ArtifactError("The version's folder is a link.", "Copy the folder here.")
            facts = examine(path)[1]
        except ArtifactError as error:
            # A client may read the reason, and no path of the machine is its business.
            told = str(error).replace(f"{path}", f"{folder.name}@{number}")
            # What could not be read for want of means may be whole, and is looked at again.
            return Stored(number, place, "" if _passes(error) else stamp, None, told)
        return Stored(number, place, stamp, facts)


def _moves(stored: Stored) -> bool:
    """Whether files may change: dropped here as they are, or just being copied here."""
    return stored.place == "" or stored.facts is None


def _record(folder: Path) -> tuple[Record, str]:
    """What is written down about a name; of a damaged file, its copy.

    Raises:
        OSError: it cannot be read at the moment.
    """
    try:
        return _parsed(folder / RECORD), ""
    except FileNotFoundError:
        return Record(), ""
    except (ValueError, OSError) as error:
        failure = error
    try:
        return _parsed(folder / RECORD_COPY), ""
    except (ValueError, OSError):
        if _passes(failure):
            raise failure from None
        reason = str(failure).replace(f"{folder}", folder.name)
        return Record(), (
            f"{RECORD} is damaged ({reason}), so nobody knows the current version. "
            "Name it with `softprompt prompts rollback FOLDER NAME@VERSION`."
        )


def _parsed(file: Path) -> Record:
    if file.is_symlink():
        raise ValueError("it is a link")
    return Record.from_json(_json(file))


def _intent(folder: Path, place: str) -> Intent:
    """What a publication meant that is not written down yet.

    Raises:
        OSError: it cannot be read at the moment, and must not be taken for nothing.
    """
    file = folder / place / INTENT
    try:
        return Intent() if not place or file.is_symlink() else Intent.from_json(_json(file))
    except (ValueError, OSError) as error:
        if _passes(error):
            raise
        return Intent()


def _passes(error: BaseException | None) -> bool:
    """Whether a failure says more of the moment than of the file that was read."""
    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) in _PASSING:
            return True
        error = error.__cause__
    return False


def _json(file: Path) -> object:
    try:
        value: object = json.loads(file.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


def _same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same artifact, as far as the first is there at all."""
    try:
        return digest_of(one) == digest_of(other)
    except (ArtifactError, OSError):
        return False


def _stamp(folder: Path | str, files: Iterable[str]) -> str | None:
    """Times, sizes and numbers of a folder's files; "" where one has just changed.

    Thousands of names are looked at in a row, so paths are plain texts here.
    """
    parts = []
    latest = 0
    now = time.time_ns()
    root = str(folder)
    for file in files:
        try:
            found = os.lstat(f"{root}/{file}" if file else root)
        except (FileNotFoundError, NotADirectoryError):
            if not file:
                return None
            parts.append("-")
            continue
        if not file and not (stat.S_ISDIR(found.st_mode) or stat.S_ISLNK(found.st_mode)):
            return None
        written, changed = found.st_mtime_ns, found.st_ctime_ns
        latest = max(latest, written, changed)
        parts.append(f"{written:x}.{changed:x}.{found.st_size:x}.{found.st_ino:x}")
    return "" if abs(now - latest) < _SETTLED_NS else " ".join(parts)


def _printable(name: str) -> str:
    shown = name.encode("utf-8", "replace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in shown)[:100]
