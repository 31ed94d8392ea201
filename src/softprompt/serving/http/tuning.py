"""What the addresses of files and of jobs share: who may, what goes wrong, pages, and answers.

Messages of files and jobs may name paths of the server; none leaves here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fastapi import Request as HttpRequest

from softprompt.serving.http.answering import in_thread
from softprompt.serving.http.caller import Caller
from softprompt.serving.http.errors import ApiError, public
from softprompt.serving.http.schemas.files import FileAnswer
from softprompt.serving.http.schemas.fine_tuning import EventAnswer, JobAnswer, JobError
from softprompt.serving.http.service import Service, service_of
from softprompt.serving.jobs import (
    Event,
    ItemStateError,
    Job,
    Jobs,
    StoredFile,
    UnknownItemError,
    Viewer,
)

__all__ = ["Tuner", "event_answer", "file_answer", "job_answer", "page", "said", "tuner_of"]

T = TypeVar("T")
# What the command line calls by a flag has another name in a body.
_FIELDS = {
    **{
        f"--{name.replace('_', '-')}": f"task.{name}"
        for name in (
            "input", "target", "template", "choices", "delimiter", "encoding", "chat", "limit",
            "drop_empty",
        )
    },
    "--drop-long": "hyperparameters.drop_long",
    "--validation FILE": "validation_file",
    "--validation": "validation_file",
}  # fmt: skip
_FLAG = re.compile(rf"({'|'.join(_FIELDS)})(?![\w-])")
_OPENAI = ("n_epochs", "batch_size", "learning_rate_multiplier")


class Tuner:
    """A request about files or jobs.

    Args:
        service: of the server.
        caller: who asks; may tune.
        jobs: of the server.
    """

    def __init__(self, service: Service, caller: Caller, jobs: Jobs) -> None:
        self.service, self.caller, self.jobs = service, caller, jobs
        key = caller.key
        self.viewer = Viewer(key.id, key.may("admin")) if key is not None else Viewer()

    async def ask(self, work: Callable[..., T], *arguments: Any) -> T:
        """Does what reads or writes files, in a thread.

        Raises:
            ApiError: 404, there is no such file or job; 409, it is in another state.
        """
        try:
            found: T = await in_thread(self.service, work, *arguments)
        except UnknownItemError as error:
            raise ApiError(404, str(error), code="not_found") from error
        except ItemStateError as error:
            raise ApiError(409, str(error), code=error.code) from error
        return found

    def check_name(self, name: str | None) -> None:
        """A key with a list makes only what is on it.

        Raises:
            ApiError: 403, it may not.
        """
        key = self.caller.key
        if key is None or key.prompts is None or (name is not None and key.may_use(name)):
            return
        message = f"This key makes prompts with these names only: {', '.join(key.prompts)}."
        raise ApiError(403, message, param="suffix", code="name_not_allowed")


def tuner_of(http: HttpRequest) -> Tuner:
    """Who asks about files and jobs.

    Raises:
        ApiError: 403, the key has neither of the scopes tune and admin, or the server does not
            tune.
    """
    service, caller = service_of(http)
    if caller.key is None or not caller.key.may("admin"):
        caller.demand("tune")
    if service.jobs is None:
        message = "This server does not tune; it was started without a folder for jobs."
        raise ApiError(403, message, code="tuning_is_off")
    return Tuner(service, caller, service.jobs)


def page(
    items: Sequence[T], after: str | None, limit: int, id_of: Callable[[T], str]
) -> tuple[Sequence[T], bool]:
    """The items behind one of them, and whether there are more.

    Raises:
        ApiError: 400, `after` names none.
    """
    start = 0
    if after is not None:
        places = [place for place, item in enumerate(items) if id_of(item) == after]
        if not places:
            message = f"after is the ID of an item of this list; {after[:60]!r} is none."
            raise ApiError(400, message, param="after", code="invalid_value")
        start = places[0] + 1
    return items[start : start + limit], len(items) > start + limit


def said(text: str) -> str:
    """A message of a training process in the words of this API, without folders of this machine."""
    return public(_FLAG.sub(lambda found: _FIELDS[found[1]], text))


def file_answer(file: StoredFile) -> FileAnswer:
    """A file as clients see it."""
    return FileAnswer(id=file.id, bytes=file.bytes, created_at=file.created, filename=file.name)


def job_answer(jobs: Jobs, job: Job) -> JobAnswer:
    """A job as clients see it; settings that were left to the training once they are known."""
    order, run = job.order, jobs.run(job)
    settings: dict[str, Any] = dict.fromkeys(_OPENAI, "auto") | dict(order.hyperparameters)
    if settings["n_epochs"] == "auto" and run.epochs is not None:
        settings["n_epochs"] = run.epochs
    failure = job.failure
    told = said(jobs.places.hidden(failure.message)) if failure else ""
    running = job.status == "running"
    return JobAnswer(
        id=job.id,
        created_at=int(job.created),
        finished_at=None if job.finished is None else int(job.finished),
        estimated_finish=run.estimated_end if running else None,
        model=order.model,
        fine_tuned_model=job.published.label if job.published else None,
        status="validating_files" if jobs.validating(job) else job.status,
        training_file=order.training_file,
        validation_file=order.validation_file,
        hyperparameters=settings,
        method={"type": "supervised", "supervised": {"hyperparameters": settings}},
        task=dict(order.task),
        seed=order.seed,
        user_provided_suffix=order.suffix,
        metadata=None if order.metadata is None else dict(order.metadata),
        error=JobError(code=failure.code, message=told) if failure else None,
    )


def event_answer(jobs: Jobs, event: Event) -> EventAnswer:
    """An event as clients see it."""
    return EventAnswer(
        id=event.id,
        created_at=int(event.time),
        level=event.level,
        message=said(jobs.places.hidden(event.message)),
        type="message" if event.data is None else "metrics",
        data=None if event.data is None else dict(event.data),
    )
