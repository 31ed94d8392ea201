"""A connection of the server: nobody holds one open without asking for anything.

Heads come from strangers, before any key is seen, so their size and their time are bounded here,
whatever else is installed beside uvicorn. It does not know what is asked.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["Connection"]


class Connection(H11Protocol):
    """One connection.

    The head of a request has to be whole within uvicorn's `timeout_keep_alive` seconds from the
    connection's beginning, or from the first byte after the answer before; for as long may what is
    left of a refused body go on.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody is there."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        super().connection_lost(exc)
        self._forget()

    def _watch(self) -> None:
        if not self._idle:
            self._forget()
        elif self._head is None:
            self._head = self.loop.call_later(self.timeout_keep_alive, self._late)

    def _forget(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _late(self) -> None:
        self._head = None
        if self._idle and not self.transport.is_closing():
            self.transport.close()

    @property
    def _idle(self) -> bool:
        """Whether no request is at work."""
        return self.cycle is None or self.cycle.response_complete
