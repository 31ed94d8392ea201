"""The outermost layer: an id for every request, one JSON line about it, no trace to a client.

The line holds who, what, how long and how many tokens; texts and answers only where that was asked
for. It does not know who may do what.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from softprompt.serving.http.errors import ApiError, draining, respond, unexpected
from softprompt.serving.http.metrics import Metrics
from softprompt.serving.http.note import Note, attach

__all__ = ["AccessLog", "ClientGoneError"]

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_GONE = 499
_access = logging.getLogger("softprompt.access")
_errors = logging.getLogger("softprompt.errors")


class ClientGoneError(Exception):
    """Nobody waits for the response any more."""


class AccessLog:
    """A layer of the server.

    Args:
        app: what is inside.
        metrics: where failures are counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on and writes about it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        note = Note(given if _ID.fullmatch(given) else uuid.uuid4().hex)
        attach(scope, note)
        began, sent = time.perf_counter(), {"status": 0, "bytes": 0}

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent["status"] = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = note.id
                headers["x-content-type-options"] = "nosniff"
                headers["cache-control"] = "no-store"
                if note.origin is not None:
                    headers["access-control-allow-origin"] = note.origin
                    headers["access-control-expose-headers"] = "X-Request-Id, Retry-After"
                    headers.add_vary_header("Origin")
            sent["bytes"] += len(message.get("body", b""))
            await send(message)

        try:
            await self._guarded(scope, receive, tell, note, sent)
        finally:
            if sent["status"] >= 400 or note.error:
                self._metrics.failed(note.error or str(sent["status"]))
            _access.info(_line(scope, note, sent, time.perf_counter() - began))

    async def _guarded(
        self, scope: Scope, receive: Receive, tell: Send, note: Note, sent: dict[str, int]
    ) -> None:
        try:
            await self._app(scope, receive, tell)
        except ClientGoneError:
            sent["status"], note.error = _GONE, "client_gone"
        except ApiError as error:
            # Of a layer outside the app, which has no handlers of its own.
            note.error = error.code
            await respond(error)(scope, receive, tell)
        except asyncio.CancelledError:
            # The server's time to end is over. Who has got nothing yet learns that another server
            # may be asked; half an answer ends without its end.
            note.error = "draining"
            if not sent["status"]:
                await respond(draining())(scope, receive, tell)
        except Exception:
            note.error = "internal_error"
            _errors.exception("request %s failed", note.id)
            if sent["status"]:
                # Half an answer cannot become an error; the connection ends without its end.
                raise
            await respond(unexpected(note.id))(scope, receive, tell)


def _line(scope: Scope, note: Note, sent: dict[str, int], seconds: float) -> str:
    client = scope.get("client")
    line: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "id": note.id,
        "client": client[0] if client else None,
        "key": note.caller.key.id if note.caller.key else None,
        "method": scope["method"],
        "path": scope["path"][:500],
        "status": sent["status"],
        "milliseconds": round(seconds * 1000, 1),
        "bytes": sent["bytes"],
        "prompts": note.prompts,
        "prompt_tokens": note.prompt_tokens,
        "completion_tokens": note.completion_tokens,
        "cached_tokens": note.cached_tokens,
        "error": note.error,
    }
    if note.contents:
        line["contents"] = note.contents
    return json.dumps(line, ensure_ascii=True)
