"""`/v1/chat/completions`: one answer to a conversation, whole or in parts.

A soft prompt reads the last user message, the base model all of them.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from softprompt.errors import UnknownPromptError
from softprompt.prompts.prompt import PromptTask
from softprompt.serving.http.answering import (
    Asked,
    answers,
    first_piece,
    usage_of,
)
from softprompt.serving.http.errors import ApiError
from softprompt.serving.http.event_stream import EventStream
from softprompt.serving.http.routes import ERRORS
from softprompt.serving.http.sampling import sampling_of
from softprompt.serving.http.schemas.chat import (
    ChatAnswer,
    ChatBody,
    ChatChoice,
    ChatChunk,
    ChatMessage,
    Chunk,
    Delta,
    Message,
)
from softprompt.serving.http.schemas.shared import Usage
from softprompt.serving.http.service import Service, service_of
from softprompt.serving.requests import Answer, Piece
from softprompt.serving.requests import Request as Asking

__all__ = ["router"]

router = APIRouter(tags=["answers"], responses=ERRORS)
_STREAM = {"content": {"text/event-stream": {"schema": {"type": "string"}}}}


@router.post(
    "/v1/chat/completions",
    operation_id="create_chat_completion",
    response_model=ChatAnswer,
    response_model_exclude_none=False,
    responses={200: {**_STREAM, "description": "The answer; events where `stream` is true."}},
)
async def create_chat_completion(http: Request, body: ChatBody) -> Any:
    """Answers a conversation."""
    service, caller = service_of(http)
    caller.demand("infer")
    prompt = service.prompt_of(caller, body.model)
    seconds = service.seconds(http, body.deadline, body.timeout)
    most = body.max_completion_tokens
    sampling = sampling_of(body, body.max_tokens if most is None else most)
    asked = Asked(service, caller, http, seconds)
    try:
        text = await asked.in_thread(_text, service, prompt, body)
    except UnknownPromptError as error:
        raise service.unknown(caller, body.model) from error
    asking = Asking(
        prompt=prompt, text=text, template=body.template, sampling=sampling, deadline=seconds
    )
    if body.stream:
        return await _stream(asked, asking, body)
    copies = [asking] * (body.n or 1)
    if sampling.seed is not None:
        copies = [
            replace(asking, sampling=replace(sampling, seed=sampling.seed + number))
            for number in range(len(copies))
        ]
    found = await answers(asked, copies, together=True)
    return _whole(body, found)


def _whole(body: ChatBody, found: list[Answer]) -> ChatAnswer:
    choices = [
        ChatChoice(
            index=index,
            message=ChatMessage(content=answer.text),
            finish_reason=answer.finish,
            probabilities=dict(answer.probabilities) or None,
        )
        for index, answer in enumerate(found)
    ]
    return ChatAnswer(
        id=f"chatcmpl-{uuid.uuid4().hex}",
        created=int(time.time()),
        model=body.model,
        prompt_version=found[0].prompt,
        choices=choices,
        usage=usage_of(found),
    )


async def _stream(asked: Asked, asking: Asking, body: ChatBody) -> Response:
    [ticket] = await asked.submit([asking])
    first, rest = await first_piece(asked, ticket)
    id_, created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())
    with_usage = bool(body.stream_options and body.stream_options.include_usage)

    def chunk(choices: list[Chunk], usage: Usage | None = None) -> dict[str, Any]:
        event = ChatChunk(id=id_, created=created, model=body.model, choices=choices, usage=usage)
        return event.content_of(with_usage)

    async def events() -> AsyncIterator[dict[str, Any]]:
        yield chunk([Chunk(delta=Delta(role="assistant", content=""))])
        sent, event = "", first
        while isinstance(event, Piece):
            sent += event.text
            if event.text:
                yield chunk([Chunk(delta=Delta(content=event.text))])
            event = await anext(rest)
        asked.ended(ticket, event)
        if left := event.text.removeprefix(sent):
            yield chunk([Chunk(delta=Delta(content=left))])
        probabilities = dict(event.probabilities) or None
        yield chunk([Chunk(delta=Delta(), finish_reason=event.finish, probabilities=probabilities)])
        if with_usage:
            yield chunk([], usage_of([event]))

    return EventStream(events(), ticket, asked.seconds)


def _text(service: Service, prompt: str | None, body: ChatBody) -> Any:
    """What the engine reads of a conversation."""
    if prompt is None:
        if body.inputs is not None:
            message = "inputs are for prompts; the base model reads messages."
            raise ApiError(400, message, param="inputs", code="invalid_value")
        return _messages(service, body)
    if body.inputs is not None:
        return {
            name: service.check_text(text, f"inputs.{name}") for name, text in body.inputs.items()
        }
    task = service.task(prompt)
    if task.template is None and body.template is None:
        return _messages(service, body)
    last = next((m for m in reversed(body.messages) if m.role == "user"), None)
    if last is None:
        message = "messages has no message of the role user, which the prompt would read."
        raise ApiError(400, message, param="messages", code="invalid_value")
    if isinstance(last.content, dict):
        return {name: service.check_text(text, "messages") for name, text in last.content.items()}
    text = service.check_text(_content(last), "messages")
    return _columns(task, text) or text


def _columns(task: PromptTask, text: str) -> Mapping[str, str] | None:
    """The columns in a message that is a JSON object, for a prompt that reads several."""
    if len(task.inputs) < 2 or not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    fits = isinstance(value, dict) and all(isinstance(part, str) for part in value.values())
    return value if fits else None


def _messages(service: Service, body: ChatBody) -> list[dict[str, str]]:
    turns = []
    for message in body.messages:
        if isinstance(message.content, dict):
            told = "Columns are for prompts that read several; here a message is text."
            raise ApiError(400, told, param="messages", code="invalid_value")
        role = "system" if message.role == "developer" else message.role
        turns.append({"role": role, "content": _content(message)})
    service.check_text("".join(turn["content"] for turn in turns), "messages")
    return turns


def _content(message: Message) -> str:
    if message.content is None or isinstance(message.content, dict):
        return ""
    if isinstance(message.content, str):
        return message.content
    for part in message.content:
        if part.type != "text" or part.text is None:
            told = "A message is text, or parts of the type text."
            raise ApiError(400, told, param="messages", code="unsupported_parameter")
    return "".join(part.text or "" for part in message.content)
