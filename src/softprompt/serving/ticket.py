"""What a caller holds while a request is at work: pieces as they come, the answer, a way to cancel.

The engine's threads write into a ticket; callers read it from any thread or from an event loop. It
does not know how answers are made.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Lock

from softprompt.errors import CancelledError, DeadlineError, SoftPromptError
from softprompt.serving.requests import Answer, Piece, Request

__all__ = ["Ticket"]

_log = logging.getLogger(__name__)

Event = Piece | Answer | SoftPromptError


class Ticket:
    """One request at work.

    Args:
        request: what is asked.

    Attributes:
        submitted: time of submission, seconds of `time.monotonic`.
        started: when its first pass began; None before.
        first: when its first piece or its answer came; None before.
        finished: when it ended; None before.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.submitted = time.monotonic()
        self.started: float | None = None
        self.first: float | None = None
        self.finished: float | None = None
        self._lock = Lock()
        self._events: list[Event] = []
        self._listeners: list[Callable[[Event], None]] = []
        self._cancelled = False

    @property
    def expired(self) -> SoftPromptError | None:
        """Why nobody needs the answer any more, or None while somebody does."""
        if self._cancelled:
            return CancelledError("The request was cancelled.")
        limit = self.request.deadline
        if limit is not None and time.monotonic() - self.submitted > limit:
            return DeadlineError(
                f"The answer was not whole after {limit:g} s.",
                "Allow more time, or ask for fewer tokens.",
            )
        return None

    def cancel(self) -> None:
        """Says that nobody waits any more; the engine drops the request at its next step."""
        self._cancelled = True

    def put(self, event: Event) -> None:
        """Notes a piece, the whole answer or a failure; what comes after the end is dropped."""
        with self._lock:
            if self.finished is not None:
                return
            now = time.monotonic()
            self.first = self.first or now
            if not isinstance(event, Piece):
                self.finished = now
            self._events.append(event)
            listeners = list(self._listeners)
        for listener in listeners:
            try:
                listener(event)
            except Exception:
                # Whoever computes must not suffer from whoever listens.
                _log.exception("a listener failed")

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Calls back with every event, those that have been included, in order."""
        with self._lock:
            past = list(self._events)
            self._listeners.append(listener)
            for event in past:
                listener(event)

    def result(self, timeout: float | None = None) -> Answer:
        """The whole answer.

        Args:
            timeout: seconds to wait; None for ever.

        Raises:
            SoftPromptError: the request failed.
            TimeoutError: the answer is not there yet.
        """
        future: Future[Answer] = Future()

        def settle(event: Event) -> None:
            if isinstance(event, Answer):
                future.set_result(event)
            elif isinstance(event, SoftPromptError):
                future.set_exception(event)

        self.listen(settle)
        return future.result(timeout)

    def __iter__(self) -> Iterator[Piece | Answer]:
        """Pieces as they come, the whole answer last.

        Raises:
            SoftPromptError: the request failed.
        """
        queue: SimpleQueue[Event] = SimpleQueue()
        self.listen(queue.put)
        while True:
            event = queue.get()
            if isinstance(event, SoftPromptError):
                raise event
            yield event
            if isinstance(event, Answer):
                return

    async def __aiter__(self) -> AsyncIterator[Piece | Answer]:
        """The same in an event loop; leaving early cancels the request.

        Raises:
            SoftPromptError: the request failed.
        """
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Event] = asyncio.Queue()

        def hand_over(event: Event) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(queue.put_nowait, event)

        self.listen(hand_over)
        try:
            while True:
                event = await queue.get()
                if isinstance(event, SoftPromptError):
                    raise event
                yield event
                if isinstance(event, Answer):
                    return
        finally:
            self.cancel()
