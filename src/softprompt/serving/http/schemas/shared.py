"""Parts that several bodies and answers share, and the error.

Fields that nobody knows are taken and ignored, as clients of newer APIs need; those that are known
and cannot be honoured are refused elsewhere (`unsupported`).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Body",
    "Details",
    "ErrorAnswer",
    "Out",
    "PromptDetails",
    "Usage",
    "Waiting",
    "Writing",
]

_INT64 = 2**63 - 1
Columns = dict[str, str]


class Body(BaseModel):
    """What comes in."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)


class Out(BaseModel):
    """What goes out."""

    model_config = ConfigDict(extra="forbid")


class Details(Out):
    """What is wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(Out):
    """Every error has this shape."""

    error: Details


class PromptDetails(Out):
    """Of the tokens before an answer."""

    cached_tokens: int = Field(description="Tokens that were not computed for this request.")


class Usage(Out):
    """Tokens of a request; the vectors of a soft prompt count among those before the answer."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails


class Waiting(Body):
    """What every body that asks for an answer may say."""

    model: str = Field(
        min_length=1,
        max_length=300,
        description="Name of a prompt (`name`, `name@3`, `name@alias`) or of the base model.",
    )
    template: str | None = Field(
        None,
        max_length=100_000,
        description="Text around the prompt in place of its own; ends with `{answer}`.",
    )
    deadline: float | None = Field(None, gt=0, description="Seconds for the whole answer.")
    timeout: float | None = Field(None, gt=0, description="Another name of `deadline`.")


class StreamOptions(Body):
    """Of `stream`."""

    include_usage: bool | None = Field(None, description="A last chunk with `usage`.")


class JsonSchema(Body):
    """A named schema."""

    name: str | None = None
    json_schema: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Body):
    """What an answer has to look like, in OpenAI's words."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StructuredOutputs(Body):
    """What an answer has to look like, in vLLM's words; one of the three."""

    choice: list[str] | None = None
    regex: str | None = None
    json_: dict[str, Any] | str | None = Field(None, alias="json")


class Writing(Waiting):
    """How text is written."""

    max_tokens: int | None = Field(None, ge=1, le=1_000_000)
    temperature: float | None = Field(
        None, ge=0, le=100, description="0 where it is not given: the likeliest token."
    )
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1, le=1_000_000, description="-1 or 0: all tokens.")
    seed: int | None = Field(None, ge=-_INT64, le=_INT64)
    stop: str | list[str] | None = Field(None, description="At most 16 texts.")
    n: int | None = Field(None, ge=1, le=128)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_choice: list[str] | None = None
    guided_regex: str | None = None
    guided_json: dict[str, Any] | str | None = None
    inputs: Columns | None = Field(
        None, description="Column to text, for a prompt that reads several."
    )
