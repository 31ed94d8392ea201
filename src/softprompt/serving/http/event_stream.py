"""An answer as server-sent events, ending in `data: [DONE]`.

A client that goes away, or does not read, ends the work behind the stream. It does not know what
the events hold.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from softprompt.errors import SoftPromptError
from softprompt.serving.http.access_log import ClientGoneError
from softprompt.serving.http.errors import content_of, translate
from softprompt.serving.http.note import note_of
from softprompt.serving.ticket import Ticket

__all__ = ["EventStream"]

_DONE = b"data: [DONE]\n\n"
# How much longer than the answer a client may take to read it, in seconds.
_GRACE = 10.0
# Ends of lines to many readers of lines, though not to the standard of event streams.
_LINE_ENDS = {code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)}


class EventStream(Response):
    """A response that is written while its answer is.

    Args:
        events: JSON objects to send.
        ticket: cancelled when nobody reads.
        seconds: that the answer has.
    """

    media_type = "text/event-stream"

    def __init__(
        self, events: AsyncIterator[dict[str, Any]], ticket: Ticket, seconds: float
    ) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._events, self._ticket, self._seconds = events, ticket, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends everything, or stops when the client has gone."""
        write = asyncio.create_task(self._write(scope, send))
        watch = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait(
                {write, watch},
                timeout=self._seconds + _GRACE,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not write.done():
                raise ClientGoneError
            write.result()
        finally:
            self._ticket.cancel()
            for task in (write, watch):
                task.cancel()
            await asyncio.gather(write, watch, return_exceptions=True)

    async def _write(self, scope: Scope, send: Send) -> None:
        headers = self.raw_headers
        await send({"type": "http.response.start", "status": 200, "headers": headers})

        async def write(content: bytes, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": content, "more_body": more})

        try:
            async for event in self._events:
                await write(_event(event))
        except SoftPromptError as error:
            # The status has been sent; the client learns of it in the stream.
            told = translate(error)
            note_of(scope).error = told.code
            await write(_event(content_of(told)))
        await write(_DONE, more=False)


def _event(value: dict[str, Any]) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_LINE_ENDS)
    return b"data: " + text.encode("utf-8", "replace") + b"\n\n"


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
