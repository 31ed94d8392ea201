"""An engine whose answers come from replicas: the same requests, tickets and figures.

    with Replicas(settings) as replicas:
        registry = Registry(settings.prompts, backbone=replicas.identity)
        engine = ReplicatedEngine(replicas, registry)

A name becomes a version here, once, so that all replicas mean the same by it. It does not know how
answers are made.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from threading import Lock, Thread
from typing import Any

from softprompt.cluster.replica import Report
from softprompt.cluster.replicas import Replicas
from softprompt.errors import CancelledError, OverloadedError, ServingError, SoftPromptError
from softprompt.serving import Answer, Piece, Request, Source, Ticket

__all__ = ["ReplicatedEngine"]

_LOOK_EVERY = 0.05
"""Seconds between looks at requests that nobody waits for any more."""

_TRIES = 2
"""Times that a request is sent, where a replica fails before it has said anything."""

_SUMS = ("running", "waiting", "loaded_prompts", "loaded_bytes")
_log = logging.getLogger(__name__)


class ReplicatedEngine:
    """Answers requests through replicas.

    Args:
        replicas: that answer; closed with the engine.
        source: the prompts, as the replicas see them.
        max_waiting: requests at work in all replicas; more are refused.

    Attributes:
        source: as given.
        answers: how many each replica has given.
    """

    def __init__(self, replicas: Replicas, source: Source, *, max_waiting: int = 4096) -> None:
        self.source, self._replicas, self._most = source, replicas, max_waiting
        self.answers: dict[str, int] = {}
        self._reports: dict[str, dict[str, Any]] = {}
        self._lock = Lock()
        self._open = self._hits = self._misses = 0
        self._closed = False
        self._calls: dict[asyncio.Task[None], list[Ticket]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="softprompt-ray", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._look(), self._loop)

    def submit(self, request: Request) -> Ticket:
        """Takes a request; its ticket tells of the answer.

        Raises:
            UnknownPromptError: no prompt has its name.
            OverloadedError: too many are at work.
        """
        return self.submit_together([request])[0]

    def submit_together(self, requests: Sequence[Request]) -> list[Ticket]:
        """Takes requests about one text; one replica answers them all.

        Raises:
            SoftPromptError: as for `submit`, for any of them; then none is taken.
        """
        key, pinned = "", []
        for request in requests:
            if request.prompt is not None:
                version = self.source.resolve(request.prompt)
                key = key or version.key
                pinned.append(replace(request, prompt=version.label))
            else:
                pinned.append(request)
        tickets = [Ticket(request) for request in requests]
        with self._lock:
            if self._closed:
                raise ServingError("The engine is shutting down.", "Ask again later.")
            if self._open + len(requests) > self._most:
                raise OverloadedError(
                    f"{self._open} requests are at work, and {self._most} may be.",
                    "Try again in a moment.",
                )
            self._open += len(requests)
            asyncio.run_coroutine_threadsafe(self._begin(key, pinned, tickets), self._loop)
        return tickets

    @property
    def figures(self) -> dict[str, Any]:
        """Requests `running` in all replicas and `waiting` there; tokens that replicas knew
        (`context_hits`) and computed (`context_misses`); loaded prompts and their bytes, of all
        replicas together. What replicas say of themselves is as old as their last answer.
        `alive` is whether the engine's own thread is there."""
        with self._lock:
            sums = {
                name: sum(report.get(name, 0) for report in self._reports.values())
                for name in _SUMS
            }
            waiting = min(sums["waiting"], self._open)
            return {
                **sums,
                "running": self._open - waiting,
                "waiting": waiting,
                "context_hits": self._hits,
                "context_misses": self._misses,
                "alive": self._thread.is_alive(),
            }

    def close(self, *, drain: bool = True, timeout: float | None = None) -> None:
        """Takes no more requests, and ends the replicas.

        Args:
            drain: answer those that have been taken.
            timeout: seconds that this may take; then what is left fails. None for no limit.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
        asyncio.run_coroutine_threadsafe(self._end(drain, timeout), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._replicas.close()

    def __enter__(self) -> ReplicatedEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(drain=False)

    async def _begin(self, key: str, requests: list[Request], tickets: list[Ticket]) -> None:
        task = asyncio.create_task(self._serve(key, requests, tickets))
        self._calls[task] = tickets

    async def _serve(self, key: str, requests: list[Request], tickets: list[Ticket]) -> None:
        """Requests from their sending to their ends, whatever those are."""
        left: SoftPromptError = ServingError("The replica said nothing.", "Try again.")
        try:
            for attempt in range(1, _TRIES + 1):
                try:
                    await self._listen(key, requests, tickets)
                    break
                except Exception as error:
                    _log.warning("a replica failed: %r", error)
                    left = ServingError("A replica failed at this request.", "Try again.")
                    if attempt == _TRIES or any(ticket.first for ticket in tickets):
                        break
        except asyncio.CancelledError:
            left = CancelledError("The engine is shutting down.")
        finally:
            self._calls.pop(asyncio.current_task(), None)  # type: ignore[arg-type]
            with self._lock:
                self._open -= len(tickets)
            for ticket in tickets:
                ticket.put(ticket.expired or left)

    async def _listen(self, key: str, requests: list[Request], tickets: list[Ticket]) -> None:
        """Passes on what a replica says."""
        now = time.monotonic()
        sent = [
            request
            if request.deadline is None
            else replace(request, deadline=max(0.0, request.deadline - now + ticket.submitted))
            for request, ticket in zip(requests, tickets, strict=True)
        ]
        events = self._replicas.handle(key).answer.remote(sent)
        try:
            async for said in events:
                if isinstance(said, Report):
                    self._note(said, len(tickets))
                else:
                    place, event = said
                    self._pass_on(tickets[place], event)
        except asyncio.CancelledError:
            with suppress(Exception):
                events.cancel()
            raise

    def _pass_on(self, ticket: Ticket, event: Piece | Answer | SoftPromptError) -> None:
        ticket.started = ticket.started or time.monotonic()
        if isinstance(event, Answer):
            with self._lock:
                self._hits += event.cached_tokens
                self._misses += event.prompt_tokens - event.cached_tokens
        ticket.put(event)

    def _note(self, report: Report, count: int) -> None:
        with self._lock:
            self._reports[report.replica] = report.figures
            self.answers[report.replica] = self.answers.get(report.replica, 0) + count

    async def _look(self) -> None:
        """Gives up calls of which nobody waits for any answer, until the engine ends."""
        while not self._closed:
            await asyncio.sleep(_LOOK_EVERY)
            for task, tickets in list(self._calls.items()):
                left = [ticket for ticket in tickets if ticket.finished is None]
                # A call whose answers are all there still has its report to make.
                if left and all(ticket.expired is not None for ticket in left):
                    task.cancel()

    async def _end(self, drain: bool, timeout: float | None) -> None:
        # Requests that were handed over just before have begun after this.
        await asyncio.sleep(0)
        if self._calls and drain:
            await asyncio.wait(list(self._calls), timeout=timeout)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
