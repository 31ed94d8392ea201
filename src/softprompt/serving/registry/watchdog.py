"""Ends the wait for a database server that has fallen silent.

A server that is frozen, or behind a network that is away, refuses nothing, and its driver waits for
ever; so does whoever publishes or lists. It does not know what is asked of the database.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Timer
from typing import Any
from weakref import WeakSet

from sqlalchemy import Engine, event

__all__ = ["Watchdog"]

SILENT_SECONDS = 25.0
"""Longer than a statement may take, after which a living server says so itself."""


class Watchdog:
    """Looks after the connections of an engine; of one whose database is a file, there is no need.

    Args:
        engine: that has not connected yet.
    """

    def __init__(self, engine: Engine) -> None:
        self._needed = engine.dialect.name != "sqlite"
        self._open: WeakSet[Any] = WeakSet()
        if self._needed:
            event.listen(engine, "connect", lambda connection, _: self._open.add(connection))

    @contextmanager
    def watching(self) -> Iterator[Callable[[], None]]:
        """Cuts the connections where a block lasts too long; the driver then raises.

        Yields:
            What a block that lasts calls whenever the server has answered.
        """
        if not self._needed:
            yield lambda: None
            return
        timer = self._timer()

        def answered() -> None:
            nonlocal timer
            timer.cancel()
            timer = self._timer()

        try:
            yield answered
        finally:
            timer.cancel()

    def _timer(self) -> Timer:
        timer = Timer(SILENT_SECONDS, self._cut)
        timer.daemon = True
        timer.start()
        return timer

    def _cut(self) -> None:
        for connection in list(self._open):
            # One that is closed already has no socket, and says so in an error of its driver.
            with suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as end:
                end.shutdown(socket.SHUT_RDWR)
