"""What goes wrong, in the shape of OpenAI's errors: one sentence, what is allowed, a status.

No message names a path of the server. What is no mistake of the client is told with the request's
id only and written to the log. It does not know the routes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from fastapi import HTTPException
from starlette.responses import Response

from softprompt.errors import (
    ArtifactError,
    CancelledError,
    DeadlineError,
    OverloadedError,
    ServingError,
    SoftPromptError,
    UnknownPromptError,
)

__all__ = ["ApiError", "content_of", "draining", "public", "respond", "translate", "unexpected"]

_PATH = re.compile(r"(?<![\w/:.])(?:~|\.{1,2}|[A-Za-z]:)?[/\\](?:[^\s/\\'\",;:()]+[/\\])*")
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
# What has this cause is no mistake of the client: a disk, a file, a database.
_STORAGE = "storage_unavailable"


class ApiError(HTTPException):
    """An answer that is an error.

    Args:
        status: of HTTP.
        message: one sentence, and what is allowed.
        param: the field that is meant.
        code: a word that programs compare.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, dict(headers or {}))
        self.message, self.param, self.code = message, param, code


def content_of(error: ApiError) -> dict[str, Any]:
    """The JSON object of an error."""
    kind = _TYPES.get(error.status_code)
    kind = kind or ("invalid_request_error" if error.status_code < 500 else "server_error")
    told = {"message": error.message, "type": kind, "param": error.param, "code": error.code}
    return {"error": told}


def respond(error: ApiError) -> Response:
    """An error as a response."""
    # Characters that UTF-8 cannot carry may have come with the request.
    content = json.dumps(content_of(error), ensure_ascii=False).encode("utf-8", "replace")
    return Response(
        content, error.status_code, headers=error.headers, media_type="application/json"
    )


def unexpected(request_id: str) -> ApiError:
    """What a client learns of a defect."""
    return ApiError(
        500,
        f"Something went wrong in the server; its log says more under the request id {request_id}.",
        code="internal_error",
    )


def draining() -> ApiError:
    """What a client learns of a server that is about to stop."""
    message = "The server is about to stop; try again in a moment."
    return ApiError(503, message, code="draining", headers={"Retry-After": "5"})


def translate(error: SoftPromptError, param: str | None = None) -> ApiError:
    """The answer to an error of the engine, the registry or the tasks.

    Args:
        error: as raised.
        param: the field that it is about, where that is known.
    """
    told = public(str(error))
    match error:
        case UnknownPromptError():
            return ApiError(404, told, param=param or "model", code="model_not_found")
        case OverloadedError():
            headers = {"Retry-After": str(max(1, round(error.retry_after)))}
            return ApiError(429, told, param=param, code="overloaded", headers=headers)
        case DeadlineError():
            return ApiError(504, told, param=param, code="deadline_exceeded")
        case CancelledError():
            return ApiError(503, told, param=param, code="cancelled", headers={"Retry-After": "1"})
    if isinstance(error, ServingError):
        return ApiError(503, told, param=param, code="engine_error", headers={"Retry-After": "1"})
    if isinstance(error.__cause__, OSError):
        message = "The server's storage cannot be used at the moment; try again later."
        return ApiError(503, message, param=param, code=_STORAGE, headers={"Retry-After": "5"})
    if isinstance(error, ArtifactError):
        return ApiError(422, told, param=param, code="invalid_artifact")
    return ApiError(400, told, param=param, code="invalid_value")


def public(text: str) -> str:
    """A message without folders of this machine, on one line."""
    return " ".join(_PATH.sub("", text).split())
