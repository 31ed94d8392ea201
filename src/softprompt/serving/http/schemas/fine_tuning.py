"""`/v1/fine_tuning/jobs`: orders, jobs and events in OpenAI's shape, with settings of our own.

A field that nobody knows is refused here: a setting that was meant and is ignored would cost hours.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from softprompt.errors import nearest
from softprompt.serving.http.errors import ApiError
from softprompt.serving.http.schemas.shared import Body, Out

__all__ = [
    "CheckpointList",
    "EventAnswer",
    "EventList",
    "Hyperparameters",
    "JobAnswer",
    "JobBody",
    "JobError",
    "JobList",
    "refuse_unknown",
]

Auto = Literal["auto"]
Initialisation = Literal["auto", "labels", "keywords", "vocabulary", "random", "context"]


class Strict(Body):
    """A part of a body whose every field is known."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})


class Hyperparameters(Strict):
    """How is trained; what is not given or `auto` is chosen by the training."""

    n_epochs: Annotated[int, Field(ge=1, le=10_000)] | Auto = "auto"
    batch_size: Annotated[int, Field(ge=1, le=4096)] | Auto = Field(
        "auto", description="Rows per step."
    )
    learning_rate_multiplier: Annotated[float, Field(gt=0, le=1000)] | Auto = Field(
        "auto", description="Of the usual peak rate."
    )
    method: str | None = Field(None, max_length=100, description="`prompt-tuning`, `ct-kv`, ...")
    placement: str | None = Field(None, max_length=100, description="`suffix`, `prefix`, ...")
    depth: str | None = Field(None, max_length=100, description="`input`, `deep` or `kv`.")
    parametrisation: str | None = Field(None, max_length=100, description="`direct`, ...")
    initialisation: Initialisation | None = Field(None, description="Where the vectors begin.")
    length: int | None = Field(None, ge=1, le=512, description="Vectors of the prompt.")
    population: int | None = Field(
        None, ge=1, le=64, description="Prompts that train together at first."
    )
    ensemble: Annotated[int, Field(ge=1, le=64)] | Literal["auto", "off"] | None = None
    readout: Literal["auto", "on", "off"] | None = Field(
        None, description="A linear readout of contexts; never where the engine is a vLLM server."
    )
    patience: int | None = Field(None, ge=1, le=10_000)
    time_budget: float | None = Field(None, gt=0, description="Seconds; epochs are cut to fit.")
    max_new_tokens: int | None = Field(None, ge=1, le=4096, description="Of a free answer.")
    drop_long: bool | None = Field(None, description="Leave out rows longer than the window.")
    metric: str | None = Field(None, max_length=100, description="That chooses the best prompt.")


class Supervised(Strict):
    """Settings of the one method that there is."""

    hyperparameters: Hyperparameters | None = None


class Method(Strict):
    """In OpenAI's sense: what is learned from."""

    type: Literal["supervised"]
    supervised: Supervised | None = None


class TaskBody(Strict):
    """What the columns of a table mean; detected where it is not given."""

    input: str | list[str] | None = Field(None, description="Columns that are read.")
    target: str | None = Field(None, max_length=1000, description="The answer's column.")
    template: str | None = Field(
        None,
        max_length=100_000,
        description="Text with {column} places and {answer} at its end.",
    )
    choices: dict[str, str] | None = Field(None, description="Wordings of the labels.")
    kind: Literal["auto", "classification", "generation"] | None = None
    delimiter: str | None = Field(None, max_length=100)
    encoding: str | None = Field(None, max_length=100)
    chat: Literal["auto", "on", "off"] | None = None
    limit: int | None = Field(None, ge=1, le=2**31 - 1, description="Training rows at most.")
    validation_share: float | None = Field(None, ge=0, le=0.5)
    test_share: float | None = Field(None, ge=0, le=0.5)
    drop_empty: bool | None = None


class JobBody(Strict):
    """A job to be."""

    model: str = Field(min_length=1, max_length=300, description="Name of the base model.")
    training_file: str = Field(min_length=1, max_length=100, description="ID of a file.")
    validation_file: str | None = Field(None, max_length=100)
    suffix: str | None = Field(
        None, min_length=1, max_length=64, description="Name of the prompt to be made."
    )
    hyperparameters: Hyperparameters | None = None
    method: Method | None = None
    seed: int | None = Field(None, ge=0, le=2**31 - 1)
    metadata: dict[str, str] | None = Field(None, max_length=16)
    integrations: list[Any] | None = Field(None, max_length=0, description="None can be had.")
    task: TaskBody | None = None


class JobError(Out):
    """Why a job failed."""

    code: str
    message: str
    param: str | None = None


class JobAnswer(Out):
    """A job."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    finished_at: int | None
    estimated_finish: int | None
    model: str
    fine_tuned_model: str | None = Field(description="Name and version of the prompt, `name@1`.")
    organization_id: str = "softprompt"
    status: Literal[
        "validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled"
    ]
    training_file: str
    validation_file: str | None
    result_files: list[str] = Field(default_factory=list)
    trained_tokens: int | None = None
    hyperparameters: dict[str, Any]
    method: dict[str, Any]
    task: dict[str, Any]
    seed: int
    user_provided_suffix: str | None
    metadata: dict[str, str] | None
    integrations: list[Any] = Field(default_factory=list)
    error: JobError | None


class JobList(Out):
    """A page of jobs, the newest first."""

    object: Literal["list"] = "list"
    data: list[JobAnswer]
    has_more: bool


class EventAnswer(Out):
    """Something that happened to a job."""

    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: Literal["message", "metrics"]
    data: dict[str, Any] | None


class EventList(Out):
    """A page of events, the newest first."""

    object: Literal["list"] = "list"
    data: list[EventAnswer]
    has_more: bool


class CheckpointList(Out):
    """Checkpoints; a prompt is served only when its job has succeeded, so there are none."""

    object: Literal["list"] = "list"
    data: list[Any] = Field(default_factory=list)
    first_id: None = None
    last_id: None = None
    has_more: Literal[False] = False


def refuse_unknown(body: Strict, place: str = "") -> None:
    """Looks through a body for fields that mean nothing.

    Raises:
        ApiError: 400, with the nearest field that there is.
    """
    fields = type(body).model_fields
    for name in body.model_extra or {}:
        param = f"{place}{name[:60]}"
        told = f"{param} is no known parameter. {nearest(name, fields)}"
        raise ApiError(400, told, param=param, code="unknown_parameter")
    for name in fields:
        value = getattr(body, name)
        if isinstance(value, Strict):
            refuse_unknown(value, f"{place}{name}.")
