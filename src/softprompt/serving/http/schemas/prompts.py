"""`/v1/models` and `/v1/prompts`: cards, aliases, what was done."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from softprompt.serving.http.schemas.shared import Body, Out

__all__ = [
    "AliasBody",
    "ModelCard",
    "ModelList",
    "PromptCard",
    "PromptList",
    "Removed",
    "Status",
]


class ModelCard(Out):
    """The base model or a prompt, as a model of OpenAI's API."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "softprompt"
    root: str
    parent: str | None = Field(description="The base model, for a prompt.")


class ModelList(Out):
    """All that may be asked."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class PromptCard(Out):
    """A prompt of the registry."""

    id: str
    object: Literal["prompt"] = "prompt"
    version: int = Field(description="That the bare name means now.")
    versions: list[int]
    aliases: dict[str, int]
    details: dict[str, Any] = Field(default_factory=dict, description="What else is known of it.")


class PromptList(Out):
    """Prompts by name."""

    object: Literal["list"] = "list"
    data: list[PromptCard]


class AliasBody(Body):
    """Where an alias points."""

    version: int = Field(ge=1, le=2**31 - 1)


class Removed(Out):
    """What is no more."""

    id: str
    object: Literal["prompt.deleted", "alias.deleted"]
    deleted: Literal[True] = True


class Status(Out):
    """How the server is."""

    status: Literal["ok", "ready"]
