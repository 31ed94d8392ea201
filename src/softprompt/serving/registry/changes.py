"""Changes of the folder of a registry, each one step for whoever reads it.

A version is filled in a place of its own, examined there and then renamed into its place with all
that its publication shall change (`version.json`); `name.json` follows. What is removed is renamed
away first. So after a kill at any moment the folder is as before or as after, and leftovers lie
where nobody reads and are swept later. Writers wait for one another by a lock of the system's,
which ends with its process. It knows nothing of what is held in memory or in the index.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from softprompt.errors import ArtifactError, UnknownPromptError, UsageError
from softprompt.prompts import SoftPrompt
from softprompt.serving.registry.examination import (
    FILES,
    Facts,
    copy_artifact,
    digest_of,
    examine,
)
from softprompt.serving.registry.folder import INTENT, RECORD, RECORD_COPY, PromptFolder
from softprompt.serving.registry.names import twins
from softprompt.serving.registry.record import HIGHEST, Intent, Record
from softprompt.serving.registry.state import State
from softprompt.storage import disk_errors, write_bytes, write_json

__all__ = ["Changes"]

_LOG = logging.getLogger("softprompt.registry")
_FORGOTTEN = 3600.0
"""Seconds after which a half-written version belongs to nobody any more."""
_PATIENCE = 60.0
"""Seconds that a writer waits for another."""

Accept = Callable[[SoftPrompt, Facts], None]
"""Refuses a prompt that must not be published, by raising."""


class Changes:
    """Writes into the folder of a registry.

    Args:
        folder: the folder; made when something is published.
    """

    def __init__(self, folder: PromptFolder) -> None:
        self._folder = folder

    def publish(self, name: str, source: Path | SoftPrompt, intent: Intent, accept: Accept) -> int:
        """Adds a version; returns its number.

        Args:
            name: of the prompt, checked.
            source: an artifact's folder, of this project or of PEFT, or a prompt.
            intent: what else changes with it.
            accept: called with the prompt as it will be read, and its facts.

        Raises:
            ArtifactError: the artifact is damaged or not accepted.
            UsageError: the folder cannot be written.
        """
        with disk_errors(self._folder.root), self._filled(name, source) as fresh:
            try:
                prompt, facts = examine(fresh)
            except ArtifactError as error:
                shown = source.name if isinstance(source, Path) else name
                raise ArtifactError(error.message.replace(str(fresh), shown), error.hint) from error
            accept(prompt, facts)
            if intent != Intent():
                write_json(fresh / INTENT, intent.as_json())
            _flush(fresh)
            with self._alone():
                return self._place(name, fresh)

    def record(self, name: str, change: Callable[[State], Record]) -> None:
        """Changes what is written down about a name.

        Args:
            name: of the prompt, checked.
            change: from what is there to the new record.

        Raises:
            UnknownPromptError: nothing has the name.
            UsageError: the folder cannot be written.
        """
        with disk_errors(self._folder.root), self._alone():
            self._refuse_link(name)
            self._write(name, change(self._known(name)))

    def remove_version(self, name: str, number: int) -> None:
        """Removes a version.

        Raises:
            UnknownPromptError: it is not there.
            UsageError: an alias means it, or it is the only one.
        """
        with disk_errors(self._folder.root), self._alone():
            self._refuse_link(name)
            state = self._known(name)
            _check_removable(state, number)
            # The version before it is current from the moment that it is gone, for every reader.
            others = {
                other: None if stored.facts is None else Intent()
                for other, stored in state.by_number.items()
                if other != number
            }
            last = max(state.record.last or 0, *state.numbers)
            record = replace(state.record, last=last).among(others)
            self._into_its_own(name)
            self._bin(self._folder.path(name, str(number)))
            self._write(name, record)

    def remove(self, name: str) -> None:
        """Removes a name with all its versions.

        Raises:
            UnknownPromptError: nothing has the name.
        """
        with disk_errors(self._folder.root), self._alone():
            self._known(name)
            self._bin(self._folder.path(name, ""))

    def uid(self) -> str:
        """What names the folder, wherever it is mounted; made when it is first asked for.

        Raises:
            UsageError: the folder cannot be written.
        """
        file = self._folder.own / "id"
        with disk_errors(self._folder.root):
            if not file.is_file():
                with self._alone():
                    if not file.is_file():
                        write_bytes(file, uuid.uuid4().hex.encode())
            return file.read_text(encoding="ascii", errors="replace")[:64]

    def sweep(self) -> None:
        """Frees the space of what killed processes left behind; never fails."""
        for old in _children(self._folder.own / "trash"):
            shutil.rmtree(old, ignore_errors=True)
        for old in _children(self._folder.own / "incoming"):
            with suppress(OSError):
                if time.time() - old.stat().st_mtime > _FORGOTTEN:
                    shutil.rmtree(old, ignore_errors=True)

    @contextmanager
    def _filled(self, name: str, source: Path | SoftPrompt) -> Iterator[Path]:
        """A folder of the registry's own that holds the artifact until it is renamed."""
        incoming = self._folder.own / "incoming"
        incoming.mkdir(parents=True, exist_ok=True)
        fresh = incoming / f"{uuid.uuid4().hex}"
        try:
            if isinstance(source, SoftPrompt):
                source.save(fresh)
            elif (source / FILES[0]).is_file():
                copy_artifact(source, fresh)
            else:
                # A folder of PEFT's is brought into the project's own form.
                SoftPrompt.load(source).save(fresh)
            yield fresh
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _place(self, name: str, fresh: Path) -> int:
        """Renames a filled folder to the next version; the lock is held."""
        self._refuse_link(name)
        self._into_its_own(name)
        state = self._folder.read(name)
        last = state.record.last if state is not None else 0
        number = max(last or 0, *(state.numbers if state is not None else ()), 0) + 1
        if number > HIGHEST:
            raise UsageError(
                f"{name!r} has a version {HIGHEST}, and no number is left above it.",
                "Publish under another name.",
            )
        place = self._folder.path(name, str(number))
        new = self._is_new(name)
        place.parent.mkdir(exist_ok=True)
        fresh.rename(place)
        # From here on it is published; the record only repeats what the version itself says.
        try:
            _flush_entries(place.parent)
            if new:
                _flush_entries(self._folder.root)
            after = self._folder.read(name)
            self._write(name, after.record if after is not None else Record())
        except (OSError, UsageError) as error:
            _LOG.warning("%s@%d is published; its record follows later: %s", name, number, error)
        return number

    def _is_new(self, name: str) -> bool:
        """Whether no folder has the name.

        Raises:
            UsageError: another name is there that readers and many file systems take for the same.
        """
        with os.scandir(self._folder.root) as found:
            others = [entry.name for entry in found]
        if name in others:
            return False
        for other in twins(name, others):
            if self._folder.read(other) is not None:
                raise UsageError(
                    f"{name!r} is written almost as {other!r}, which is there already.",
                    "Publish under that name, or choose another.",
                )
        return True

    def _into_its_own(self, name: str) -> None:
        """Gives an artifact that was dropped as it is the folder of version 1."""
        folder = self._folder.path(name, "")
        own = folder / "1"
        if not (folder / FILES[0]).exists():
            return
        if not own.exists():
            # With a folder of its own nothing that is saved over the name can take the others.
            with self._filled(name, folder) as fresh:
                _flush(fresh)
                fresh.rename(own)
            _flush_entries(folder)
        with suppress(ArtifactError):
            if digest_of(folder) == digest_of(own):
                # The description last: while it is there, the next writer goes on with this.
                for file in reversed(FILES):
                    (folder / file).unlink(missing_ok=True)

    def _write(self, name: str, record: Record) -> None:
        """Writes the record and, against a damaged disk, its copy."""
        folder = self._folder.path(name, "")
        for left in folder.glob(f".{RECORD}.*"):  # by a writer that was killed: this one is alone
            left.unlink(missing_ok=True)
        write_json(folder / RECORD, record.as_json())
        fresh = folder / f".{RECORD}.{uuid.uuid4().hex}"
        with suppress(OSError):
            try:
                shutil.copyfile(folder / RECORD, fresh)
                fresh.replace(folder / RECORD_COPY)
            finally:
                fresh.unlink(missing_ok=True)

    def _bin(self, path: Path) -> None:
        """Takes a folder away in one step, then frees its space."""
        trash = self._folder.own / "trash"
        trash.mkdir(parents=True, exist_ok=True)
        gone = trash / uuid.uuid4().hex
        path.rename(gone)
        _flush_entries(path.parent)
        if gone.is_symlink():
            gone.unlink()
        else:
            shutil.rmtree(gone, ignore_errors=True)

    def _refuse_link(self, name: str) -> None:
        if self._folder.path(name, "").is_symlink():
            raise UsageError(
                f"The folder of {name!r} is a link, and nothing is written through it.",
                "Remove the link, or copy the folder itself there.",
            )

    def _known(self, name: str) -> State:
        state = self._folder.read(name)
        if state is None:
            raise UnknownPromptError(f"There is no prompt {name!r}.", "It has been removed.")
        return state

    @contextmanager
    def _alone(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        self._folder.own.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._folder.own / "lock", timeout=_PATIENCE)
        try:
            with lock:
                yield
        except Timeout as error:
            raise UsageError(
                f"Another process has been changing {self._folder.root} for "
                f"{_PATIENCE:.0f} seconds.",
                "Wait until it ends, or end it.",
            ) from error


def _check_removable(state: State, number: int) -> None:
    if number not in state.by_number:
        raise UnknownPromptError(
            f"There is no version {number} of {state.name!r}.",
            f"There are: {', '.join(map(str, state.numbers))}.",
        )
    if len(state.by_number) == 1:
        raise UsageError(
            f"{state.name}@{number} is the only version of {state.name!r}.",
            f"Remove {state.name!r} itself to take it away.",
        )
    for alias, meant in state.record.aliases.items():
        if meant == number:
            raise UsageError(
                f"{state.name}@{number} is what {state.name}@{alias} means.",
                "Let the alias mean another version first, or remove it.",
            )


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _flush(folder: Path) -> None:
    """Waits until files and their entries are on the disk, so that no rename overtakes them."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    _flush_entries(folder)


def _flush_entries(folder: Path) -> None:
    if os.name != "posix":
        return  # elsewhere a folder cannot be opened, and renames are written through
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
