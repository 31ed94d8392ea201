"""From the fields of a body to how text is written, in the engine's own words.

It checks what the engine takes for granted: that one constraint is meant, and how large it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from softprompt.serving.http.errors import ApiError
from softprompt.serving.http.schemas.shared import Writing
from softprompt.serving.http.unsupported import refuse_unsupported
from softprompt.serving.requests import Constraint, Sampling
from softprompt.storage import canonical_json

__all__ = ["sampling_of"]

_MOST_STOPS, _MOST_STOP = 16, 200
_MOST_CHOICES, _MOST_CHOICE = 1000, 2000
_MOST_REGEX = 4000
_MOST_SCHEMA = 50_000
_MOST_N = 8


def sampling_of(body: Writing, max_tokens: int | None) -> Sampling:
    """How the answers to a body are written.

    Args:
        body: of a request.
        max_tokens: the longest answer; None for what the prompt was trained with.

    Raises:
        ApiError: 400, fields contradict each other or ask for what cannot be done.
        UsageError: a value is out of its range.
    """
    refuse_unsupported(body.model_extra)
    stream, n = bool(body.stream), body.n or 1
    if n > _MOST_N or (stream and n > 1):
        message = f"n is 1 to {_MOST_N}, and 1 where the answer is streamed."
        raise ApiError(400, message, param="n", code="invalid_value")
    if body.stream_options is not None and not stream:
        message = "stream_options needs stream: true."
        raise ApiError(400, message, param="stream_options", code="invalid_value")
    return Sampling(
        max_new_tokens=max_tokens,
        temperature=body.temperature or 0.0,
        top_p=1.0 if body.top_p is None else body.top_p,
        top_k=max(0, body.top_k or 0),
        seed=body.seed,
        stop=_stop(body.stop),
        constraint=_constraint(body),
    )


def _stop(stop: str | list[str] | None) -> tuple[str, ...]:
    texts = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if len(texts) > _MOST_STOPS or any(not 1 <= len(text) <= _MOST_STOP for text in texts):
        message = f"stop is one text or up to {_MOST_STOPS}, of 1 to {_MOST_STOP} characters each."
        raise ApiError(400, message, param="stop", code="invalid_value")
    return texts


def _constraint(body: Writing) -> Constraint | None:
    wanted: dict[str, Constraint] = {}
    structured = body.structured_outputs
    choices = {"guided_choice": body.guided_choice}
    regexes = {"guided_regex": body.guided_regex}
    schemas: dict[str, Any] = {"guided_json": body.guided_json}
    if structured is not None:
        choices["structured_outputs.choice"] = structured.choice
        regexes["structured_outputs.regex"] = structured.regex
        schemas["structured_outputs.json"] = structured.json_
        refuse_unsupported(
            {f"guided_{name}": v for name, v in (structured.model_extra or {}).items()}
        )
    schemas["response_format"] = _format(body)
    wanted |= {name: _choice(value, name) for name, value in choices.items() if value is not None}
    wanted |= {name: _regex(value, name) for name, value in regexes.items() if value is not None}
    wanted |= {name: _schema(value, name) for name, value in schemas.items() if value is not None}
    if len(wanted) > 1:
        message = f"One constraint is possible at a time; given: {', '.join(wanted)}."
        raise ApiError(400, message, param=list(wanted)[1], code="invalid_value")
    return next(iter(wanted.values()), None)


def _format(body: Writing) -> Mapping[str, Any] | None:
    """The schema of `response_format`."""
    wanted = body.response_format
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return {"type": "object"}
    if wanted.json_schema is None or wanted.json_schema.json_schema is None:
        message = "response_format of type json_schema needs json_schema.schema."
        raise ApiError(400, message, param="response_format", code="missing_field")
    return wanted.json_schema.json_schema


def _choice(texts: list[str], param: str) -> Constraint:
    fits = 1 <= len(texts) <= _MOST_CHOICES and all(
        1 <= len(text) <= _MOST_CHOICE for text in texts
    )
    if not fits or len(set(texts)) < len(texts):
        message = (
            f"{param} is 1 to {_MOST_CHOICES} different texts of at most {_MOST_CHOICE} characters."
        )
        raise ApiError(400, message, param=param, code="invalid_value")
    return Constraint("choice", tuple(texts))


def _regex(text: str, param: str) -> Constraint:
    if not 1 <= len(text) <= _MOST_REGEX:
        message = f"{param} is an expression of 1 to {_MOST_REGEX} characters."
        raise ApiError(400, message, param=param, code="invalid_value")
    return Constraint("regex", text)


def _schema(value: Mapping[str, Any] | str, param: str) -> Constraint:
    try:
        schema = json.loads(value) if isinstance(value, str) else value
        size = len(canonical_json(schema).encode())
    except (ValueError, RecursionError):
        schema, size = None, 0
    if not isinstance(schema, dict) or size > _MOST_SCHEMA:
        message = f"{param} is a JSON schema: an object of at most {_MOST_SCHEMA} bytes."
        raise ApiError(400, message, param=param, code="invalid_value")
    return Constraint("json", schema)
