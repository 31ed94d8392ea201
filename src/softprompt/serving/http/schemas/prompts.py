"""`/v1/models` and `/v1/prompts`: cards, aliases, what was done."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from softprompt.serving.http.schemas.shared import Body, Out

__all__ = [
    "AliasBody",
    "ModelCard",
    "ModelList",
    "PromptCard",
    "PromptList",
    "PromptVersion",
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


class PromptVersion(Out):
    """A version of a prompt; it never changes."""

    id: str = Field(description="`name@3`.")
    version: int
    current: bool = Field(description="Whether the bare name means it.")
    aliases: list[str] = Field(description="That mean it.")
    problem: str | None = Field(description="Why it is not served; null where it is.")
    kind: str = Field(description="`classification` or `generation`.")
    inputs: list[str] = Field(description="Columns that it reads.")
    labels: list[str] = Field(description="To choose from; empty for free text.")
    placement: str
    depth: str
    length: int = Field(description="Vectors.")
    parameters: int
    metrics: dict[str, dict[str, float]] = Field(description="By split and name.")
    bytes: int
    created: int = Field(description="Seconds since 1970.")


class PromptCard(Out):
    """A prompt of the registry."""

    id: str
    object: Literal["prompt"] = "prompt"
    version: int | None = Field(description="That the bare name means now.")
    aliases: dict[str, int] = Field(description="From alias to version.")
    tags: dict[str, str]
    versions: list[PromptVersion] = Field(description="The newest first; in a list, the current.")


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
