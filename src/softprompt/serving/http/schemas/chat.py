"""`/v1/chat/completions`: its body and its answers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from softprompt.serving.http.schemas.shared import Body, Columns, Out, Usage, Writing

__all__ = ["ChatAnswer", "ChatBody", "ChatChoice", "ChatChunk", "ChatMessage", "Chunk", "Delta"]


class Part(Body):
    """A part of a message; only text can be read."""

    type: str
    text: str | None = None


class Message(Body):
    """A turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part] | Columns | None = None


class ChatBody(Writing):
    """A conversation; a soft prompt reads its last user message, the base model all of it."""

    messages: list[Message] = Field(min_length=1, max_length=1000)
    max_completion_tokens: int | None = Field(None, ge=1, le=1_000_000)


class ChatMessage(Out):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(Out):
    """One answer."""

    index: int
    message: ChatMessage
    logprobs: None = None
    finish_reason: Literal["stop", "length"]
    probabilities: dict[str, float] | None = Field(
        None, description="Of every label, calibrated; absent for free text."
    )


class ChatAnswer(Out):
    """A whole answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    prompt_version: str | None = Field(description="`name@3`; null for the base model.")
    choices: list[ChatChoice]
    usage: Usage


class Delta(Out):
    """What is new."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class Chunk(Out):
    """A part of an answer."""

    index: int = 0
    delta: Delta
    logprobs: None = None
    finish_reason: Literal["stop", "length"] | None = None
    probabilities: dict[str, float] | None = None


class ChatChunk(Out):
    """One event of a stream."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[Chunk]
    usage: Usage | None = None

    def content_of(self, with_usage: bool) -> dict[str, Any]:
        """As it is sent: a delta holds only what is new, and usage is there where it was wanted."""
        value = self.model_dump(exclude=None if with_usage else {"usage"})
        for chunk in value["choices"]:
            chunk["delta"] = {k: v for k, v in chunk["delta"].items() if v is not None}
        return value
