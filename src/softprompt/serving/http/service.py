"""What all routes share: the engine, the prompts, the limits, and who may ask for what.

It does not know HTTP's messages.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Lock

from anyio import CapacityLimiter
from fastapi import Request as HttpRequest

from softprompt.errors import nearest
from softprompt.prompts.prompt import PromptTask
from softprompt.serving.audit import Audit
from softprompt.serving.engine import Engine
from softprompt.serving.http.caller import Caller, Rates
from softprompt.serving.http.catalog import Catalog
from softprompt.serving.http.config import ServerConfig
from softprompt.serving.http.errors import ApiError
from softprompt.serving.http.metrics import Metrics
from softprompt.serving.http.note import note_of
from softprompt.serving.jobs import Jobs
from softprompt.serving.keys import Keys
from softprompt.serving.source import Source

__all__ = ["Service", "service_of"]

_MOST_TASKS = 4096
# The nearest of very many names costs more than an error should.
_MOST_NEAREST = 500
# Of a name that does not exist, and comes in a path or a list, so many characters are told.
_MOST_NAME = 300


@dataclass
class Service:
    """One running server.

    Args:
        engine: answers.
        source: where prompts are found.
        model: name of the base model.
        config: limits.
        keys: who may call; None for everybody.
        audit: where administrators' actions are noted.
        metrics: figures.
        jobs: that tune; None where the server does not.
    """

    engine: Engine
    source: Source
    model: str
    config: ServerConfig
    keys: Keys | None
    audit: Audit
    metrics: Metrics
    jobs: Jobs | None = None
    rates: Rates = field(default_factory=Rates)
    created: int = field(default_factory=lambda: int(time.time()))
    draining: bool = False
    open: int = 0
    _tasks: dict[str, PromptTask] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)
    _limiter: CapacityLimiter | None = None

    @property
    def catalog(self) -> Catalog:
        """The prompts as a list."""
        return Catalog(self.source)

    @property
    def limiter(self) -> CapacityLimiter:
        """Threads that tokenise and read prompts; more would only stand in each other's way."""
        # Made where an event loop runs.
        self._limiter = self._limiter or CapacityLimiter(8)
        return self._limiter

    def prompt_of(self, caller: Caller, model: str, param: str = "model") -> str | None:
        """What a `model` means: a prompt's name, or None for the base model.

        Raises:
            ApiError: 404, the caller may not use it; the same as where there is none.
        """
        stem = self.model if model == self.model else model.partition("@")[0]
        if not caller.may_use(stem) or model.endswith("@"):
            raise self.unknown(caller, model, param)
        return None if model == self.model else model

    def unknown(self, caller: Caller, model: str, param: str = "model") -> ApiError:
        """The error for a name that does not exist for this caller, with what does."""
        names = list(self.names(caller))
        hint = "GET /v1/models lists what there is."
        shown = model if len(model) <= _MOST_NAME else f"{model[:_MOST_NAME]}..."
        if len(names) <= _MOST_NEAREST:
            hint = nearest(shown, names)
        message = f"There is no model or prompt {shown!r}. {hint}"
        if model != self.model and model in names:
            message = f"The prompt {model!r} cannot be served; GET /v1/prompts/{model} says why."
        return ApiError(404, message, param=param, code="model_not_found")

    def names(self, caller: Caller) -> Iterator[str]:
        """All that a caller may ask for."""
        for name in (self.model, *self.catalog.names()):
            if caller.may_use(name):
                yield name

    def task(self, prompt: str) -> PromptTask:
        """What a prompt was trained to do.

        Raises:
            UnknownPromptError: there is none of that name.
            ArtifactError: it is damaged.
        """
        version = self.source.resolve(prompt)
        task = self._tasks.get(version.key)
        if task is None:
            task = self.source.load(version).task
            with self._lock:
                if len(self._tasks) >= _MOST_TASKS:
                    self._tasks.pop(next(iter(self._tasks)))
                self._tasks[version.key] = task
        return task

    def seconds(self, http: HttpRequest, *asked: float | None) -> float:
        """The time that an answer has: of the body, of the header `X-Deadline`, or the server's.

        Raises:
            ApiError: 400, it is more than the server allows, or no number.
        """
        given = next((value for value in asked if value is not None), None)
        header = http.headers.get("x-deadline")
        if given is None and header is not None:
            try:
                given = float(header)
            except ValueError:
                given = -1.0
        if given is None:
            return self.config.deadline
        if not 0 < given <= self.config.max_deadline:
            most = self.config.max_deadline
            message = f"deadline is a number of seconds above 0, at most {most:g}."
            raise ApiError(400, message, param="deadline", code="invalid_value")
        return given

    def check_text(self, text: str, param: str) -> str:
        """Raises:
        ApiError: 400, the text is longer than the server takes.
        """
        if len(text) > self.config.max_text:
            message = (
                f"{param} has {len(text)} characters; at most {self.config.max_text} are taken."
            )
            raise ApiError(400, message, param=param, code="text_too_long")
        return text

    def check_batch(self, answers: int, param: str) -> None:
        """Raises:
        ApiError: 400, more answers are asked for than one request may, or none.
        """
        most = self.config.max_batch
        if not 1 <= answers <= most:
            message = f"{param} asks for {answers} answers; 1 to {most} are possible at once."
            raise ApiError(400, message, param=param, code="batch_too_large")


def service_of(http: HttpRequest) -> tuple[Service, Caller]:
    """The service behind a request, and who sent it."""
    return http.app.state.service, note_of(http.scope).caller
