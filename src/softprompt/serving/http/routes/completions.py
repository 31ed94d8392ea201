"""`/v1/completions`: answers to texts, whole or, of one text, in parts."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from softprompt.serving.http.answering import Asked, answers, first_piece, usage_of
from softprompt.serving.http.errors import ApiError
from softprompt.serving.http.event_stream import EventStream
from softprompt.serving.http.routes import ERRORS
from softprompt.serving.http.sampling import sampling_of
from softprompt.serving.http.schemas.completions import (
    CompletionAnswer,
    CompletionBody,
    CompletionChoice,
)
from softprompt.serving.http.schemas.shared import Usage
from softprompt.serving.http.service import Service, service_of
from softprompt.serving.requests import Answer, Piece
from softprompt.serving.requests import Request as Asking

__all__ = ["router"]

router = APIRouter(tags=["answers"], responses=ERRORS)
_STREAM = {"content": {"text/event-stream": {"schema": {"type": "string"}}}}


@router.post(
    "/v1/completions",
    operation_id="create_completion",
    response_model=CompletionAnswer,
    responses={200: {**_STREAM, "description": "The answers; events where `stream` is true."}},
)
async def create_completion(http: Request, body: CompletionBody) -> Any:
    """Answers one text or several."""
    service, caller = service_of(http)
    caller.demand("infer")
    prompt = service.prompt_of(caller, body.model)
    seconds = service.seconds(http, body.deadline, body.timeout)
    sampling = sampling_of(body, body.max_tokens)
    texts = _texts(service, body)
    asked = Asked(service, caller, http, seconds)
    n = body.n or 1
    service.check_batch(len(texts) * n, "prompt")
    requests = []
    for text in texts:
        for number in range(n):
            seed = None if sampling.seed is None else sampling.seed + number
            own = replace(sampling, seed=seed)
            requests.append(
                Asking(
                    prompt=prompt, text=text, template=body.template, sampling=own, deadline=seconds
                )
            )
    if body.stream:
        if len(requests) > 1:
            message = "One text can be streamed at a time."
            raise ApiError(400, message, param="prompt", code="invalid_value")
        return await _stream(asked, requests[0], body)
    found = await answers(asked, requests)
    return _whole(body, found)


def _texts(service: Service, body: CompletionBody) -> list[Any]:
    """What the engine reads: texts, or the columns of one."""
    if body.inputs is not None:
        for name, text in body.inputs.items():
            service.check_text(text, f"inputs.{name}")
        return [dict(body.inputs)]
    if body.prompt is None:
        raise ApiError(400, "prompt is missing.", param="prompt", code="missing_field")
    texts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    return [service.check_text(text, "prompt") for text in texts]


def _choice(index: int, answer: Answer) -> CompletionChoice:
    return CompletionChoice(
        index=index,
        text=answer.text,
        finish_reason=answer.finish,
        probabilities=dict(answer.probabilities) or None,
    )


def _whole(body: CompletionBody, found: list[Answer]) -> CompletionAnswer:
    return CompletionAnswer(
        id=f"cmpl-{uuid.uuid4().hex}",
        created=int(time.time()),
        model=body.model,
        prompt_version=found[0].prompt,
        choices=[_choice(index, answer) for index, answer in enumerate(found)],
        usage=usage_of(found),
    )


async def _stream(asked: Asked, asking: Asking, body: CompletionBody) -> Response:
    [ticket] = await asked.submit([asking])
    first, rest = await first_piece(asked, ticket)
    id_, created = f"cmpl-{uuid.uuid4().hex}", int(time.time())
    with_usage = bool(body.stream_options and body.stream_options.include_usage)

    def chunk(choices: list[CompletionChoice], usage: Usage | None = None) -> dict[str, Any]:
        event = CompletionAnswer(
            id=id_, created=created, model=body.model, choices=choices, usage=usage
        )
        return event.model_dump(exclude=None if with_usage else {"usage"})

    def part(text: str) -> dict[str, Any]:
        return chunk([CompletionChoice(index=0, text=text, finish_reason=None)])

    async def events() -> AsyncIterator[dict[str, Any]]:
        sent, event = "", first
        while isinstance(event, Piece):
            sent += event.text
            if event.text:
                yield part(event.text)
            event = await anext(rest)
        asked.ended(ticket, event)
        left = replace(event, text=event.text.removeprefix(sent))
        yield chunk([_choice(0, left)])
        if with_usage:
            yield chunk([], usage_of([event]))

    return EventStream(events(), ticket, asked.seconds)
