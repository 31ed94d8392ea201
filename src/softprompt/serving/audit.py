"""Who changed what: one JSON line for each step of an administrator's action.

    {"time": ..., "action": "publish", "stage": "begun", "by": "key 1f...", "name": "reviews", ...}

A line is on the disk before the action begins and another after it ended, so that a server that
dies between the two leaves a trace. An action that cannot be noted is not done. It knows nothing of
what the actions are.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from softprompt.errors import SoftPromptError
from softprompt.storage import disk_errors

__all__ = ["Audit"]


class Audit:
    """A file that only grows.

    Args:
        path: of the file; None keeps nothing.
    """

    def __init__(self, path: str | Path | None) -> None:
        self.path = None if path is None else Path(path)

    @contextmanager
    def action(self, action: str, *, by: str, **about: Any) -> Iterator[dict[str, Any]]:
        """Notes that something begins and how it ended.

        Args:
            action: a word for it.
            by: who does it.
            about: what it is done to; JSON values.

        Yields:
            A mapping for what is known only at the end (a version).

        Raises:
            UsageError: the file cannot be written; nothing has been done then.
        """
        self._note({"action": action, "stage": "begun", "by": by, **about})
        found: dict[str, Any] = {}
        try:
            yield found
        except BaseException as error:
            # A message of our own names what was received; any other may hold anything.
            why = error.message if isinstance(error, SoftPromptError) else type(error).__name__
            ended = {"stage": "failed", "by": by, **about, **found, "why": why}
            self._note({"action": action, **ended})
            raise
        self._note({"action": action, "stage": "done", "by": by, **about, **found})

    def _note(self, entry: dict[str, Any]) -> None:
        if self.path is None:
            return
        line = json.dumps({"time": datetime.now(UTC).isoformat(), **entry}, ensure_ascii=True)
        with disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # One write to the end of the file: lines of two processes do not mix.
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                content = (line + "\n").encode()
                if os.write(handle, content) < len(content):
                    # A disk that fills up takes a part without an error.
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(handle)
            finally:
                os.close(handle)
