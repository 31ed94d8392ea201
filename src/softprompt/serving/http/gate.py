"""The layer that decides whether a request comes in: key, origin, size, number of open ones.

It also answers browsers that ask whether a page may call at all.

It decides before a byte of the body is read. What a key may do is the routes' matter.
"""

from __future__ import annotations

import asyncio
import time
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from softprompt.serving.http.caller import Caller
from softprompt.serving.http.errors import ApiError, draining
from softprompt.serving.http.note import note_of
from softprompt.serving.http.service import Service

__all__ = ["Gate", "is_loopback"]

_OPEN = {"/health", "/ready", "/openapi.json"}
# What a server does is asked most when it is full or leaving.
_ALWAYS = {"/metrics"}
_UPLOADS = {"/v1/prompts", "/v1/files"}
# A body that comes in drops would hold its place among the open requests for days.
_SLOWEST = 16 << 10


def is_loopback(host: str) -> bool:
    """Whether a name or an address stands for this machine only."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


class Gate:
    """A layer of the server.

    Args:
        app: what is inside.
        service: with keys and limits.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request in or raises an `ApiError`."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        service, headers = self._service, Headers(scope=scope)
        note_of(scope).origin = self._known_origin(headers)
        if scope["path"] in _OPEN:
            await self._app(scope, receive, send)
            return
        self._check_origin(headers, note_of(scope).origin)
        if note_of(scope).origin is not None and _asks_first(scope, headers):
            await _may_call(headers)(scope, receive, send)
            return
        note_of(scope).caller = self._caller(headers)
        if scope["path"] in _ALWAYS:
            await self._app(scope, self._limited(scope, headers, receive), send)
            return
        if service.draining:
            raise draining()
        if service.open >= service.config.max_open:
            message = f"{service.open} requests are open, which is all the server takes."
            raise ApiError(429, message, code="overloaded", headers={"Retry-After": "1"})
        service.open += 1
        try:
            await self._app(scope, self._limited(scope, headers, receive), send)
        finally:
            service.open -= 1

    def _known_origin(self, headers: Headers) -> str | None:
        """The site of the page that calls, where its pages may; None for others and for none."""
        origin = headers.get("origin")
        if origin is None or origin in self._service.config.origins:
            return origin
        ours = self._service.keys is None and is_loopback(_host_of(origin))
        return origin if ours else None

    def _check_origin(self, headers: Headers, known: str | None) -> None:
        """Keeps web pages from calling a server that trusts everybody on its machine.

        A page of any site may make a browser post a form to the loopback, and a name of its own may
        lead there; a key, which a page does not have, keeps both out.
        """
        if self._service.keys is not None:
            return
        host = _host_of(f"//{headers.get('host', 'localhost')}")
        if not is_loopback(host) or (known is None and "origin" in headers):
            message = (
                "A server without keys answers only to this machine and to no web page of another."
            )
            raise ApiError(403, message, code="foreign_origin")

    def _caller(self, headers: Headers) -> Caller:
        keys = self._service.keys
        if keys is None:
            return Caller(None)
        scheme, _, text = headers.get("authorization", "").partition(" ")
        key = keys.find(text.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            message = "A key is needed, sent with the header Authorization: Bearer KEY."
            headers_ = {"WWW-Authenticate": "Bearer"}
            raise ApiError(401, message, code="invalid_api_key", headers=headers_)
        return Caller(key)

    def _limited(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        """Receives a body of a limited size, each part of it within a limited time."""
        config = self._service.config
        upload = scope["path"] in _UPLOADS and scope["method"] == "POST"
        most = config.max_upload_bytes if upload else config.max_body_bytes
        too_large = ApiError(
            413, f"The request is larger than {most} bytes.", code="request_too_large"
        )
        announced = headers.get("content-length", "0")
        if announced.isdecimal() and int(announced[:20]) > most:
            raise too_large
        size, whole, began = 0, False, time.monotonic()

        async def limited() -> Message:
            nonlocal size, whole
            if whole:
                return await receive()
            left = began + config.body_seconds + size / _SLOWEST - time.monotonic()
            try:
                async with asyncio.timeout(min(config.body_seconds, left)):
                    message = await receive()
            except TimeoutError:
                seconds = f"{config.body_seconds:g}"
                message_ = f"The body did not come within {seconds} s, or came too slowly."
                raise ApiError(408, message_, code="body_timeout") from None
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > most:
                raise too_large
            return message

        return limited


def _asks_first(scope: Scope, headers: Headers) -> bool:
    """Whether a browser asks on behalf of a page, which it does without the page's key."""
    return scope["method"] == "OPTIONS" and "access-control-request-method" in headers


def _may_call(headers: Headers) -> Response:
    """Lets the page send what it has announced."""
    allowed = {
        "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
        "Access-Control-Allow-Headers": headers.get("access-control-request-headers", ""),
        "Access-Control-Max-Age": "600",
    }
    return Response(status_code=204, headers=allowed)


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""
