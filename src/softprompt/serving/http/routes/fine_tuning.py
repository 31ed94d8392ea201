"""`/v1/fine_tuning/jobs`: prompts made from uploaded files, in OpenAI's shape.

A job trains in its own process; when it succeeds its prompt answers under `fine_tuned_model`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from softprompt.errors import UsageError
from softprompt.serving.http.errors import ApiError, translate
from softprompt.serving.http.routes import ERRORS
from softprompt.serving.http.schemas.fine_tuning import (
    CheckpointList,
    EventList,
    Hyperparameters,
    JobAnswer,
    JobBody,
    JobList,
    refuse_unknown,
)
from softprompt.serving.http.tuning import Tuner, event_answer, job_answer, page, tuner_of
from softprompt.serving.jobs import Job, Order, Viewer
from softprompt.serving.jobs.publication import name_of

__all__ = ["router"]

router = APIRouter(tags=["fine_tuning"], responses=ERRORS)
_JOBS = "/v1/fine_tuning/jobs"
_METADATA = re.compile(r"metadata\[(.{1,64})\]")
_MOST_KEY, _MOST_VALUE = 64, 512

After = Annotated[str | None, Query(max_length=100)]
Limit = Annotated[int, Query(ge=1, le=100)]


@router.post(_JOBS, operation_id="create_fine_tuning_job")
async def create_job(http: Request, body: JobBody) -> JobAnswer:
    """Puts a job into the queue."""
    tuner = tuner_of(http)
    refuse_unknown(body)
    order = _order(body)
    if body.model != tuner.service.model:
        raise _not_tunable(tuner, body.model)
    tuner.check_name(None if order.suffix is None else _name(order.suffix))
    return await _answer(tuner, tuner.jobs.create, order, tuner.viewer)


@router.get(_JOBS, operation_id="list_fine_tuning_jobs")
async def list_jobs(http: Request, after: After = None, limit: Limit = 20) -> JobList:
    """The caller's jobs, the newest first; `metadata[key]=value` picks some."""
    tuner = tuner_of(http)
    wanted = {
        found[1]: value
        for name, value in http.query_params.items()
        if (found := _METADATA.fullmatch(name))
    }

    def shown() -> JobList:
        jobs = [
            job
            for job in tuner.jobs.all(tuner.viewer)
            if wanted.items() <= dict(job.order.metadata or {}).items()
        ]
        found, more = page(jobs, after, limit, lambda job: job.id)
        return JobList(data=[job_answer(tuner.jobs, job) for job in found], has_more=more)

    return await tuner.ask(shown)


@router.get(f"{_JOBS}/{{job_id}}", operation_id="get_fine_tuning_job")
async def get_job(http: Request, job_id: str) -> JobAnswer:
    """One of them."""
    tuner = tuner_of(http)
    return await _answer(tuner, tuner.jobs.get, job_id, tuner.viewer)


@router.get(f"{_JOBS}/{{job_id}}/events", operation_id="list_fine_tuning_events")
async def list_events(
    http: Request, job_id: str, after: After = None, limit: Limit = 20
) -> EventList:
    """What happened to it, the newest first, with measures of training and validation."""
    tuner = tuner_of(http)

    def shown() -> EventList:
        events = tuner.jobs.events(tuner.jobs.get(job_id, tuner.viewer))
        found, more = page(events[::-1], after, limit, lambda event: event.id)
        return EventList(data=[event_answer(tuner.jobs, event) for event in found], has_more=more)

    return await tuner.ask(shown)


@router.get(f"{_JOBS}/{{job_id}}/checkpoints", operation_id="list_fine_tuning_checkpoints")
async def list_checkpoints(
    http: Request, job_id: str, after: After = None, limit: Limit = 10
) -> CheckpointList:
    """Nothing: only what a job ends with is served."""
    tuner = tuner_of(http)
    await tuner.ask(tuner.jobs.get, job_id, tuner.viewer)
    return CheckpointList()


@router.post(f"{_JOBS}/{{job_id}}/cancel", operation_id="cancel_fine_tuning_job")
async def cancel_job(http: Request, job_id: str) -> JobAnswer:
    """Ends it; its process gets time to save its state."""
    tuner = tuner_of(http)
    return await _answer(tuner, tuner.jobs.cancel, job_id, tuner.viewer)


@router.post(f"{_JOBS}/{{job_id}}/pause", operation_id="pause_fine_tuning_job")
async def pause_job(http: Request, job_id: str) -> JobAnswer:
    """Ends its process for now."""
    tuner = tuner_of(http)
    return await _answer(tuner, tuner.jobs.pause, job_id, tuner.viewer)


@router.post(f"{_JOBS}/{{job_id}}/resume", operation_id="resume_fine_tuning_job")
async def resume_job(http: Request, job_id: str) -> JobAnswer:
    """Goes on with one that is paused, failed or cancelled."""
    tuner = tuner_of(http)
    return await _answer(tuner, tuner.jobs.resume, job_id, tuner.viewer)


async def _answer(
    tuner: Tuner, change: Callable[..., Job], what: str | Order, viewer: Viewer
) -> JobAnswer:
    return await tuner.ask(lambda: job_answer(tuner.jobs, change(what, viewer)))


def _order(body: JobBody) -> Order:
    try:
        body.model_dump_json()
    except ValueError as error:
        message = "The body holds characters that are none; send whole characters in UTF-8."
        raise ApiError(400, message, code="invalid_value") from error
    for key, value in (body.metadata or {}).items():
        if len(key) > _MOST_KEY or len(value) > _MOST_VALUE:
            message = (
                f"metadata has keys of at most {_MOST_KEY} characters and values of {_MOST_VALUE}."
            )
            raise ApiError(400, message, param="metadata", code="invalid_value")
    return Order(
        model=body.model,
        training_file=body.training_file,
        validation_file=body.validation_file,
        suffix=body.suffix,
        hyperparameters=_given(_hyperparameters(body)),
        task=_given(body.task),
        seed=body.seed or 0,
        metadata=body.metadata,
    )


def _hyperparameters(body: JobBody) -> Hyperparameters | None:
    """Those of the body, or of the method, where OpenAI's clients put them now."""
    supervised = body.method.supervised if body.method is not None else None
    inner = supervised.hyperparameters if supervised is not None else None
    if body.hyperparameters is not None and inner is not None and body.hyperparameters != inner:
        message = "hyperparameters are given twice; give them once, in method.supervised."
        raise ApiError(400, message, param="hyperparameters", code="invalid_value")
    return inner or body.hyperparameters


def _given(part: Any) -> dict[str, Any]:
    return {} if part is None else part.model_dump(exclude_none=True, exclude_unset=True)


def _name(suffix: str) -> str:
    try:
        return name_of(suffix, "")
    except UsageError as error:
        raise translate(error, "suffix") from error


def _not_tunable(tuner: Tuner, model: str) -> ApiError:
    """Only the base model is tuned; a prompt that is there is told from a name that is not."""
    if tuner.caller.may_use(model.partition("@")[0]):
        stem = model.partition("@")[0]
        if stem in tuner.service.catalog.names():
            message = f"{model} is a prompt; tune the base model, {tuner.service.model}."
            return ApiError(400, message, param="model", code="model_not_tunable")
    message = f"There is no model {model!r} to tune. Allowed: {tuner.service.model}."
    return ApiError(404, message, param="model", code="model_not_found")
