"""From requests to answers: submit, wait, give up when the client has gone or the time is over.

It does not know bodies; routes turn those into requests and answers into bodies.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from anyio import CapacityLimiter, WouldBlock
from anyio.to_thread import run_sync
from fastapi import Request as HttpRequest

from softprompt.errors import (
    DeadlineError,
    OverloadedError,
    SoftPromptError,
    UnknownPromptError,
)
from softprompt.serving.http.access_log import ClientGoneError
from softprompt.serving.http.caller import Caller
from softprompt.serving.http.errors import translate
from softprompt.serving.http.note import note_of
from softprompt.serving.http.schemas.shared import PromptDetails, Usage
from softprompt.serving.http.service import Service
from softprompt.serving.requests import Answer, Piece, Request
from softprompt.serving.ticket import Ticket

__all__ = ["Asked", "answers", "first_piece", "in_thread", "usage_of", "while_connected"]

T = TypeVar("T")


class Asked:
    """One HTTP request on its way through the engine.

    Args:
        service: of the server.
        caller: who asks.
        http: the request.
        seconds: until nobody needs the answer.
    """

    def __init__(self, service: Service, caller: Caller, http: HttpRequest, seconds: float) -> None:
        self.service, self.caller, self.http, self.seconds = service, caller, http, seconds
        self.note = note_of(http.scope)
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds until nobody needs the answer, 0 or more."""
        return max(0.0, self._end - time.monotonic())

    async def in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        """Runs what takes milliseconds beside the event loop, when a thread is free in time.

        Raises:
            ApiError: none is.
            ClientGoneError: nobody waits any more.
        """
        limiter = self.service.limiter
        try:
            limiter.acquire_on_behalf_of_nowait(self)
        except WouldBlock:
            await while_connected(self, limiter.acquire_on_behalf_of(self))
        try:
            return await run_sync(work, *arguments, limiter=CapacityLimiter(1))
        finally:
            limiter.release_on_behalf_of(self)

    async def submit(self, requests: Sequence[Request], *, together: bool = False) -> list[Ticket]:
        """Hands requests to the engine, all or none.

        Raises:
            ApiError: the engine does not take them, or the caller has asked too often.
        """
        self.service.rates.spend(self.caller, len(requests))
        engine = self.service.engine

        def hand_over() -> list[Ticket]:
            # Tokenising a long text takes milliseconds that others need not wait for.
            if together and len(requests) > 1:
                return engine.submit_together(requests)
            tickets: list[Ticket] = []
            try:
                for request in requests:
                    tickets.append(engine.submit(request))
            except BaseException:
                for ticket in tickets:
                    ticket.cancel()
                raise
            return tickets

        try:
            return await self.in_thread(hand_over)
        except OverloadedError:
            # A key's rate counts answers, and who comes again as told shall find it whole.
            self.service.rates.give_back(self.caller, len(requests))
            raise
        except UnknownPromptError as error:
            name = next((r.prompt for r in requests if r.prompt is not None), "")
            raise self.service.unknown(self.caller, name) from error

    def ended(self, ticket: Ticket, answer: Answer) -> None:
        """Notes an answer in the figures and the log."""
        self.service.metrics.answered(ticket, answer)
        note = self.note
        note.prompts.append(answer.prompt or self.service.model)
        note.prompt_tokens += answer.prompt_tokens
        note.completion_tokens += answer.completion_tokens
        note.cached_tokens += answer.cached_tokens
        if self.service.config.log_contents:
            text = ticket.request.text
            shown = (
                text
                if isinstance(text, str)
                else dict(text)
                if isinstance(text, dict)
                else list(text)
            )
            note.contents.append({"text": shown, "answer": answer.text})


async def answers(
    asked: Asked, requests: Sequence[Request], *, together: bool = False
) -> list[Answer]:
    """The whole answers, in order.

    Raises:
        ApiError: one cannot be had; the others are given up then.
        ClientGoneError: nobody waits any more.
    """
    tickets = await asked.submit(requests, together=together)
    try:
        found: list[Answer] = await while_connected(asked, asyncio.gather(*map(_whole, tickets)))
    finally:
        for ticket in tickets:
            if ticket.finished is None:
                ticket.cancel()
    for ticket, answer in zip(tickets, found, strict=True):
        asked.ended(ticket, answer)
    return found


async def first_piece(asked: Asked, ticket: Ticket) -> tuple[Piece | Answer, AsyncIterator[Any]]:
    """What comes first of an answer, and what will follow.

    Until then a failure still has a status of its own; afterwards the response has begun.

    Raises:
        ApiError: there will be no answer.
        ClientGoneError: nobody waits any more.
    """
    events = aiter(ticket)
    try:
        return await while_connected(asked, anext(events)), events
    except BaseException:
        ticket.cancel()
        raise


async def while_connected(asked: Asked, work: Any) -> Any:
    """Waits for work as long as the client is there and time is left.

    Raises:
        ApiError: the work failed, or the time is over.
        ClientGoneError: the client has gone.
    """
    task = asyncio.ensure_future(work)
    watch = asyncio.create_task(_gone(asked.http))
    try:
        await asyncio.wait({task, watch}, timeout=asked.left, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if watch.done():
            raise ClientGoneError
        raise translate(
            DeadlineError(
                f"The answer was not whole after {asked.seconds:g} s.",
                "Allow more time with `deadline`, or ask for fewer tokens.",
            )
        )
    except SoftPromptError as error:
        raise translate(error) from error
    finally:
        for one in (task, watch):
            one.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


async def in_thread(service: Service, work: Any, *arguments: Any) -> Any:
    """Runs what reads files or the registry beside the event loop."""
    return await run_sync(work, *arguments, limiter=service.limiter)


def usage_of(answers: Sequence[Answer]) -> Usage:
    """Tokens of several answers."""
    read = sum(answer.prompt_tokens for answer in answers)
    written = sum(answer.completion_tokens for answer in answers)
    return Usage(
        prompt_tokens=read,
        completion_tokens=written,
        total_tokens=read + written,
        prompt_tokens_details=PromptDetails(
            cached_tokens=sum(answer.cached_tokens for answer in answers)
        ),
    )


def _whole(ticket: Ticket) -> Coroutine[Any, Any, Answer]:
    """Waits for the end of a ticket; pieces on the way do not wake the event loop."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Answer] = loop.create_future()

    def settle(event: Piece | Answer | SoftPromptError) -> None:
        if ended.done():
            return
        if isinstance(event, Answer):
            ended.set_result(event)
        elif isinstance(event, SoftPromptError):
            ended.set_exception(event)

    def hear(event: Piece | Answer | SoftPromptError) -> None:
        if not isinstance(event, Piece) and not loop.is_closed():
            loop.call_soon_threadsafe(settle, event)

    ticket.listen(hear)

    async def wait() -> Answer:
        return await ended

    return wait()


async def _gone(http: HttpRequest) -> None:
    """Returns when the client has closed the connection."""
    while (await http.receive())["type"] != "http.disconnect":
        pass
