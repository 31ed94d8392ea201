"""The layer that decides whether a request comes in: key, origin, size, number of open ones.

It decides before a byte of the body is read. What a key may do is the routes' matter.
"""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from softprompt.serving.http.caller import Caller
from softprompt.serving.http.errors import ApiError
from softprompt.serving.http.note import note_of
from softprompt.serving.http.service import Service

__all__ = ["Gate", "is_loopback"]

_OPEN = {"/health", "/ready", "/openapi.json"}
_UPLOADS = {"/v1/prompts", "/v1/files"}


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
        if scope["type"] != "http" or scope["path"] in _OPEN:
            await self._app(scope, receive, send)
            return
        service, headers = self._service, Headers(scope=scope)
        self._check_origin(headers)
        note_of(scope).caller = self._caller(headers)
        if service.draining:
            message = "The server is about to stop; try again in a moment."
            raise ApiError(503, message, code="draining", headers={"Retry-After": "5"})
        if service.open >= service.config.max_open:
            message = f"{service.open} requests are open, which is all the server takes."
            raise ApiError(429, message, code="overloaded", headers={"Retry-After": "1"})
        service.open += 1
        try:
            await self._app(scope, self._limited(scope, headers, receive), send)
        finally:
            service.open -= 1

    def _check_origin(self, headers: Headers) -> None:
        """Keeps web pages from calling a server that trusts everybody on its machine.

        A page of any site may make a browser post a form to the loopback, and a name of its own may
        lead there; a key, which a page does not have, keeps both out.
        """
        if self._service.keys is not None:
            return
        host = _host_of(f"//{headers.get('host', 'localhost')}")
        origin = headers.get("origin")
        allowed = origin is None or origin in self._service.config.origins
        if not allowed and origin is not None:
            allowed = is_loopback(_host_of(origin))
        if not is_loopback(host) or not allowed:
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
        size, whole = 0, False

        async def limited() -> Message:
            nonlocal size, whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout(config.body_seconds):
                    message = await receive()
            except TimeoutError:
                seconds = f"{config.body_seconds:g}"
                message_ = f"The body did not come within {seconds} s."
                raise ApiError(408, message_, code="body_timeout") from None
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > most:
                raise too_large
            return message

        return limited


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""
