"""Everything that routes raise, answered in the one shape of errors.

It does not know what the errors mean beyond their status.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.responses import Response

from softprompt.errors import SoftPromptError
from softprompt.serving.http.errors import ApiError, respond, translate
from softprompt.serving.http.note import note_of

__all__ = ["add_handlers"]

_FORMS = {"str", "int", "float", "bool", "list", "dict"}


def add_handlers(app: FastAPI) -> None:
    """Gives an app the answers to everything that routes raise on purpose."""

    async def answer(request: Request, error: Exception) -> Response:
        match error:
            case ApiError():
                told = error
            case AnyHTTPException():
                told = _of_http(request, error)
            case RequestValidationError():
                told = _of_validation(error.errors())
            case SoftPromptError():
                told = translate(error)
            case _:
                raise error
        note_of(request.scope).error = told.code
        return respond(told)

    for kind in (ApiError, AnyHTTPException, RequestValidationError, SoftPromptError):
        app.add_exception_handler(kind, answer)


def _of_http(request: Request, error: AnyHTTPException) -> ApiError:
    """What the framework refuses itself, in a sentence that says what is allowed."""
    if error.status_code == 404:
        message = "There is nothing at this address; /openapi.json lists what there is."
    elif error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        message = f"{request.method} is not possible at this address; allowed: {allowed}."
    else:
        message = "The request cannot be read; a body is one JSON object in UTF-8."
    return ApiError(error.status_code, message, code="invalid_request", headers=error.headers)


def _of_validation(errors: Sequence[Mapping[str, Any]]) -> ApiError:
    """The first thing that is wrong with a body, by the name of its field."""
    first = errors[0]
    place = [str(part) for part in first.get("loc", ()) if part not in ("body", "query", "path")]
    if first["type"] == "json_invalid":
        return ApiError(
            400, "The body is not JSON; it is one JSON object in UTF-8.", code="invalid_json"
        )
    if not place:
        return ApiError(
            400,
            "The body is one JSON object, sent with the header Content-Type: application/json.",
            code="invalid_json",
        )
    # Where several forms are allowed the place goes on with the name of a form.
    fields = [part for part in place if re.fullmatch(r"[a-z_]{1,40}|\d{1,6}", part)]
    param = ".".join(part for part in fields if part not in _FORMS)
    if first["type"] == "missing":
        return ApiError(400, f"{param} is missing.", param=param, code="missing_field")
    said = str(first["msg"]).removeprefix("Value error, ")
    return ApiError(
        400, f"{param}: {said[:1].lower()}{said[1:]}.", param=param, code="invalid_value"
    )
