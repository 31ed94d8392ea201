"""`/v1/completions`: its body and its answers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from softprompt.serving.http.schemas.shared import Out, Usage, Writing

__all__ = ["CompletionAnswer", "CompletionBody", "CompletionChoice"]


class CompletionBody(Writing):
    """One text or several; token ids are refused."""

    prompt: str | list[str] | None = Field(
        None, description="Text, or texts; not needed where `inputs` are given."
    )


class CompletionChoice(Out):
    """One answer, or a part of it."""

    index: int
    text: str
    logprobs: None = None
    finish_reason: Literal["stop", "length"] | None
    probabilities: dict[str, float] | None = Field(
        None, description="Of every label, calibrated; absent for free text."
    )


class CompletionAnswer(Out):
    """Whole answers, or one event of a stream."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    prompt_version: str | None = Field(None, description="`name@3`; null for the base model.")
    choices: list[CompletionChoice]
    usage: Usage | None = None
