"""One vLLM server: what it says of itself, calls, and what its failures mean here.

It sends bodies and reads replies as vLLM's OpenAI-compatible server writes them. It does not know
prompts or tickets.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from softprompt.errors import (
    DeadlineError,
    OverloadedError,
    ServingError,
    SoftPromptError,
    UsageError,
)

__all__ = ["Upstream"]

_CONNECT_SECONDS = 5.0
_HEALTH_SECONDS = 30.0
"""A busy vLLM is slow to say that it is well; one that needs longer has stopped."""

_LOST_SECONDS = 5.0
"""Seconds without a sign of life, once the server is lost, after which a call is given up."""

_DONE = "[DONE]"
_MOST_TOLD = 300
_log = logging.getLogger(__name__)


class Upstream:
    """A connection to a vLLM server; all calls are made in one event loop.

    Args:
        url: of the server, with or without `/v1`.
        key: that the server asks for (`vllm serve --api-key`); None for none.
        connections: at most so many at once; other calls wait for one.
        silence: seconds without a sign of life after which a call is given up.

    Raises:
        UsageError: the address is none, or httpx2 is missing.
    """

    def __init__(
        self, url: str, key: str | None = None, *, connections: int = 64, silence: float = 120.0
    ) -> None:
        self.url = _address(url)
        self._silence = silence
        try:
            import httpx2
        except ImportError as error:
            raise UsageError(
                "The gateway needs httpx2, which is not installed.",
                "Run: pip install 'softprompt[serve]'",
            ) from error
        self._library, self._headers = httpx2, {"Authorization": f"Bearer {key}"} if key else {}
        self._client = self._connected(silence, connections)
        # All connections of the other may hang at the moment when this is asked.
        self._aside = self._connected(_HEALTH_SECONDS, 1)
        self._lost = False
        self._limits: set[asyncio.Timeout] = set()

    def _connected(self, silence: float, connections: int) -> Any:
        """A client of the library."""
        library = self._library
        return library.AsyncClient(
            base_url=self.url,
            headers=self._headers,
            timeout=library.Timeout(silence, connect=_CONNECT_SECONDS, pool=None),
            limits=library.Limits(max_connections=connections),
            # Embeddings belong to the server alone, not to a proxy that happens to be set.
            trust_env=False,
        )

    async def alive(self) -> bool:
        """Whether the server says that it is well; no address of that name is well too."""
        try:
            return int((await self._aside.get("/health")).status_code) < 500
        except self._library.TransportError:
            return False

    def lose(self) -> None:
        """Takes the server for lost: calls that stay silent now end as if it were unreachable."""
        if not self._lost:
            self._lost = True
            for limit in self._limits:
                self._renew(limit)

    def regain(self) -> None:
        """Takes the server for working again."""
        self._lost = False
        for limit in self._limits:
            self._renew(limit)

    def _renew(self, limit: asyncio.Timeout) -> None:
        """Gives a call its time again."""
        if not limit.expired():
            end = asyncio.get_running_loop().time() + _LOST_SECONDS
            limit.reschedule(end if self._lost else None)

    async def get(self, path: str) -> Any:
        """The JSON value at an address.

        Raises:
            ServingError: the server does not answer, or with an error.
        """
        async with self._told():
            response = await self._client.get(path)
            return _value(response.status_code, response.content)

    async def complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The reply to a completion.

        Raises:
            SoftPromptError: there is none.
        """
        async with self._told():
            response = await self._client.post("/v1/completions", json=dict(body))
            value = _value(response.status_code, response.content)
        if not isinstance(value, dict) or not value.get("choices"):
            raise _nonsense()
        return value

    async def stream(self, body: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """The events of a completion; leaving early closes the connection, and vLLM stops.

        Raises:
            SoftPromptError: the server refuses, or fails on the way.
        """
        asked = {**body, "stream": True}
        async with (
            self._told() as limit,
            self._client.stream("POST", "/v1/completions", json=asked) as response,
        ):
            if response.status_code != 200:
                _value(response.status_code, await response.aread())
            async for line in response.aiter_lines():
                if self._lost:
                    self._renew(limit)
                field, _, data = line.partition(":")
                if field != "data":
                    continue
                if data.strip() == _DONE:
                    return
                event = _json(data.encode())
                if not isinstance(event, dict):
                    raise _nonsense()
                if (told := _message(event)) is not None:
                    raise refused(500, told)
                yield event
        raise ServingError("The vLLM server stopped in the middle of an answer.", "Try again.")

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.aclose()
        await self._aside.aclose()

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[asyncio.Timeout]:
        """Failures of the connection in this project's words; gives the time of the call."""
        library = self._library
        try:
            async with asyncio.timeout(None) as limit:
                self._limits.add(limit)
                try:
                    yield limit
                finally:
                    self._limits.discard(limit)
        except TimeoutError as error:
            raise self._unreachable(error) from error
        except library.ConnectTimeout as error:
            raise self._unreachable(error) from error
        except library.TimeoutException as error:
            raise DeadlineError(
                f"The vLLM server was silent for {self._silence:g} s.", "Try again later."
            ) from error
        except library.TransportError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> ServingError:
        _log.warning("no answer from %s: %r", self.url, error)
        return ServingError("The vLLM server cannot be reached.", "Try again later.")


def refused(status: int, told: str) -> SoftPromptError:
    """What a status of the server means for the one who asked here.

    Args:
        status: of HTTP; 500 for an error in a stream.
        told: the server's own words.
    """
    _log.warning("the vLLM server answered %d: %s", status, told)
    if status in (429, 503):
        return OverloadedError("The vLLM server is overloaded.", "Try again in a moment.")
    if status in (401, 403):
        return ServingError(
            "The vLLM server does not accept the gateway's key.",
            "Its administrator sets SOFTPROMPT_UPSTREAM_KEY.",
        )
    if status in (400, 413, 422):
        # It would be refused again: nobody shall try it a second time.
        return UsageError(
            f"The vLLM server does not take the request: {told}", "Ask for something else."
        )
    if status == 404:
        return ServingError("The vLLM server does not know the address or the model.")
    return ServingError("The vLLM server failed at this request.", "Try again.")


def _address(url: str) -> str:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise UsageError(
            f"{url!r} is no address of a server.",
            "Give one like http://127.0.0.1:8001; a key goes into SOFTPROMPT_UPSTREAM_KEY.",
        )
    path = parts.path.rstrip("/").removesuffix("/v1")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _value(status: int, content: bytes) -> Any:
    value = _json(content)
    if status == 200:
        if value is None:
            raise _nonsense()
        return value
    raise refused(status, _message(value) or f"status {status}")


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _message(value: Any) -> str | None:
    """What an error says, in vLLM's present shape or its older one; None where it is no error."""
    if not isinstance(value, dict):
        return None
    inner = value.get("error")
    if isinstance(inner, dict):
        return str(inner.get("message"))[:_MOST_TOLD]
    if inner is not None or value.get("object") == "error":
        return str(inner or value.get("message"))[:_MOST_TOLD]
    return None


def _nonsense() -> ServingError:
    return ServingError("The vLLM server answered with something else than a completion.")
