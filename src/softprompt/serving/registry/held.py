"""The states of all names in memory, brought up to date from the folder as they are asked for.

A name's folder is looked at only every so often, by one thread, while the others go on with what is
known; so asking is fast, and what another process publishes is seen within that time. It does not
know the index.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable
from threading import RLock

from softprompt.serving.registry.folder import PromptFolder
from softprompt.serving.registry.state import State

__all__ = ["Held"]

_SPARING, _SHORT = 10.0, 0.2
_AWAY = 0.1
"""Seconds that the folder of a known name may be away before it counts as removed."""

_LOG = logging.getLogger("softprompt.registry")


class Held:
    """States by name.

    Args:
        folder: where they come from.
        known: what was read earlier; looked at again before it is trusted.
        check_every: seconds for which a state is taken as it is.
    """

    def __init__(
        self, folder: PromptFolder, known: Iterable[State] = (), check_every: float = 0.2
    ) -> None:
        self._folder, self._every = folder, check_every
        self._lock = RLock()
        self._states = {state.name: state for state in known}
        self._checked: dict[str, float] = {}
        self._missing: dict[str, float] = {}
        self._changed: set[str] = set()
        self._looked, self._took = -math.inf, 0.0
        self.strange: dict[str, str] = {}
        """What lies in the folder and cannot be a name, with the reason."""

    @property
    def states(self) -> dict[str, State]:
        """All states, by name: the mapping itself, that is only read."""
        return self._states

    def get(self, name: str) -> State | None:
        """The state of a name, looked up in the folder if that is due or the name is not known."""
        state = self._states.get(name)
        if state is None:
            with self._lock:
                return self._look(name)
        due = time.monotonic() - self._checked.get(name, 0.0) >= self._every
        if not due or not self._lock.acquire(blocking=False):
            return state
        try:
            return self._look(name, patient=True)
        finally:
            self._lock.release()

    def look(self, name: str) -> State | None:
        """The state of a name, looked up now."""
        with self._lock:
            return self._look(name)

    def look_everywhere(self, *, sparing: bool = False) -> None:
        """Brings all states up to date.

        Args:
            sparing: not again within a multiple of the time that the last one took, so that
                looking through a large folder never takes more than a tenth of a processor.
        """
        started = time.monotonic()
        if sparing and started - self._looked < max(self._every, _SPARING * self._took):
            return
        with self._lock:
            try:
                names, self.strange = self._folder.entries()
            except OSError as error:
                _LOG.warning("The folder of prompts cannot be read: %s", error.strerror)
                return
            for name in {*names, *self._states}:
                self._look(name)
            self._looked = time.monotonic()
            took = self._looked - started
            self._took = took if took > _SHORT else 0.0

    def taken_changes(self) -> set[str]:
        """Names that changed since this was asked last."""
        with self._lock:
            changed, self._changed = self._changed, set()
            return changed

    def mark_changed(self, names: Iterable[str]) -> None:
        """Puts names among those that `taken_changes` tells of."""
        with self._lock:
            self._changed.update(names)

    def _look(self, name: str, *, patient: bool = False) -> State | None:
        """Reads a name if its folder has changed; the lock is held.

        Args:
            name: checked.
            patient: believe that a known name is gone only when it is so for a while: a folder
                that is saved over is away for a moment.
        """
        known = self._states.get(name)
        try:
            stamp = self._folder.stamp(name, known)
            if known is not None and stamp and stamp == known.stamp:
                state: State | None = known
            else:
                state = None if stamp is None else self._folder.read(name, known)
            gone = state is None and (known is None or self._folder.root.is_dir())
        except OSError as error:
            # The disk or the network is away: what is known may still be right.
            _LOG.warning("The folder of %r cannot be read: %s", name, error.strerror)
            return known
        now = time.monotonic()
        if state is None and not (
            gone and (not patient or now - self._missing.setdefault(name, now) >= _AWAY)
        ):
            self._checked[name] = now
            return known
        self._missing.pop(name, None)
        if state is None:
            self._states.pop(name, None)
            self._checked.pop(name, None)
        else:
            self._states[name] = state
            self._checked[name] = now
        if state is not known:
            self._changed.add(name)
        return state
