"""`/v1/classify` and `/v1/tasks`: their bodies and answers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from softprompt.serving.http.schemas.shared import Body, Columns, Out, Usage, Waiting

__all__ = ["ClassifyAnswer", "ClassifyBody", "Label", "TaskAnswer", "TasksAnswer", "TasksBody"]


class ClassifyBody(Waiting):
    """Texts to label."""

    input: str | list[str | Columns] | Columns = Field(
        description="A text, texts, or columns of a prompt that reads several."
    )
    labels: list[str] | None = Field(
        None, min_length=2, max_length=1000, description="In place of the prompt's own."
    )


class Label(Out):
    """The label of one text."""

    index: int
    label: str
    probability: float
    probabilities: dict[str, float]


class ClassifyAnswer(Out):
    """Labels in the order of the texts."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    prompt_version: str | None
    data: list[Label]
    usage: Usage


class TasksBody(Body):
    """One text, several prompts; what they share is computed once."""

    text: str | Columns = Field(description="What every prompt reads.")
    prompts: list[str] = Field(min_length=1, max_length=1000)
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)
    deadline: float | None = Field(None, gt=0, description="Seconds for all answers.")
    timeout: float | None = Field(None, gt=0, description="Another name of `deadline`.")


class TaskAnswer(Out):
    """The answer of one prompt."""

    index: int
    prompt: str = Field(description="As asked for.")
    prompt_version: str | None = Field(description="`name@3`; null for the base model.")
    text: str
    probabilities: dict[str, float] | None = None
    finish_reason: Literal["stop", "length"]
    usage: Usage


class TasksAnswer(Out):
    """Answers in the order of the prompts."""

    id: str
    object: Literal["list"] = "list"
    created: int
    data: list[TaskAnswer]
    usage: Usage
