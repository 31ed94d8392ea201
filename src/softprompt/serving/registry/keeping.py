"""Keeps an index in step with the states in memory, and does without it while it is away.

A database that is damaged, gone or refuses is a warning and nothing more: lists then come from a
database in memory, made from the folder when first asked for. Every so often the real one is tried
again and brought up to date. A damaged file of the registry's own is made anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import RLock
from typing import Any

from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError

from softprompt.serving.registry.database import MEMORY, address, sqlite_file
from softprompt.serving.registry.held import Held
from softprompt.serving.registry.index import Details, Index, Row
from softprompt.serving.registry.location import Location
from softprompt.serving.registry.migrations import NewerDatabaseError
from softprompt.serving.registry.state import State

__all__ = ["IndexKeeper"]

_LOG = logging.getLogger("softprompt.registry")


class IndexKeeper:
    """The index of a registry, or its stand-in.

    Args:
        locate: says where it is, or None while there is no folder.
        details: see `Index.write`.
        retry_every: seconds between attempts to reach a database that is away.

    Raises:
        UsageError: the address is none, or its driver is not installed.
    """

    def __init__(
        self,
        locate: Callable[[], Location | None],
        details: Details,
        *,
        retry_every: float = 10.0,
    ) -> None:
        self._locate, self._details, self._retry_every = locate, details, retry_every
        self._location: Location | None = None
        self._lock = RLock()
        self._index: Index | None = None
        self._spare: Index | None = None
        self._tried = -retry_every
        self.trouble = ""
        """Why the database is not in use; "" while it is."""

    def begin(self) -> list[State]:
        """What the index knows; nothing where it is away."""
        with self._lock:
            return list((self._open() or {}).values())

    def follow(self, held: Held) -> None:
        """Writes what has changed in memory; never fails."""
        with self._lock:
            if self._index is None and time.monotonic() - self._tried >= self._retry_every:
                found = self._open()
                if found is not None:
                    held.mark_changed(_differing(found, held.states))
            target = self._index or self._spare
            if target is None:
                return
            changed = held.taken_changes()
            try:
                self._write(target, held, changed)
            except SQLAlchemyError as error:
                held.mark_changed(changed)
                self._give_up(error, again_at_once=self._discard(error))

    def rows(self, held: Held, **wanted: Any) -> list[Row]:
        """See `Index.rows`."""
        with self._lock:
            self.follow(held)
            if self._index is not None:
                try:
                    return self._index.rows(**wanted)
                except SQLAlchemyError as error:
                    self._give_up(error, again_at_once=self._discard(error))
            if self._spare is None:
                self._spare = Index(address(MEMORY), "")
                self._write(self._spare, held, held.states)
            return self._spare.rows(**wanted)

    def close(self) -> None:
        """Ends the connections."""
        with self._lock:
            for index in (self._index, self._spare):
                if index is not None:
                    index.close()
            self._index = self._spare = None

    def _open(self) -> dict[str, State] | None:
        """Opens the database and reads what it knows; None where it cannot be used."""
        location = self._location = self._location or self._locate()
        if location is None:
            return None
        self._tried = time.monotonic()
        for again in (True, False):
            try:
                index = Index(location.url, location.uid)
                found = index.states()
            except SQLAlchemyError as error:
                if again and self._discard(error):
                    continue
                self._give_up(error, again_at_once=False)
                return None
            if self.trouble:
                _LOG.warning("The index is in use again.")
            self._index, self.trouble = index, ""
            if self._spare is not None:
                self._spare.close()
                self._spare = None
            return found
        return None

    def _discard(self, error: SQLAlchemyError) -> bool:
        """Removes a damaged file of the registry's own; False where there is none."""
        location = self._location
        file = sqlite_file(location.url) if location is not None and location.own else None
        if file is None or not _is_damage(error):
            return False
        _LOG.warning("The index was damaged and is made anew from the folder: %s", _first(error))
        for name in (file.name, f"{file.name}-journal", f"{file.name}-wal", f"{file.name}-shm"):
            with suppress(OSError):
                file.with_name(name).unlink(missing_ok=True)
        return True

    def _give_up(self, error: SQLAlchemyError, *, again_at_once: bool) -> None:
        if self._index is not None:
            self._index.close()
            self._index = None
        self._tried = time.monotonic() - (self._retry_every if again_at_once else 0.0)
        reason = _first(error)
        if not self.trouble:
            _LOG.warning("The index is not in use, the folder alone decides: %s", reason)
        self.trouble = reason

    def _write(self, target: Index, held: Held, names: Iterable[str]) -> None:
        states = held.states
        there, gone = [], []
        for name in sorted(names):
            state = states.get(name)
            if state is None:
                gone.append(name)
            else:
                there.append(state)
        if there or gone:
            target.write(there, gone, self._details)


def _differing(found: dict[str, State], states: dict[str, State]) -> set[str]:
    return {name for name in {*found, *states} if found.get(name) != states.get(name)}


def _is_damage(error: SQLAlchemyError) -> bool:
    """Whether a file's content is at fault, and not its lock, its permissions or its age."""
    if isinstance(error, NewerDatabaseError) or not isinstance(error, DatabaseError):
        return False
    return not isinstance(error, OperationalError) or "no such" in str(error.orig)


def _first(error: Exception) -> str:
    """The first line of what the driver says; statements and values are left out."""
    cause = getattr(error, "orig", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
