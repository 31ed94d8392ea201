"""`/v1/tasks`: one text, several prompts; what they share is computed once."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping

from fastapi import APIRouter, Request

from softprompt.errors import UnknownPromptError
from softprompt.serving.http.answering import Asked, answers, usage_of
from softprompt.serving.http.caller import Caller
from softprompt.serving.http.routes import ERRORS
from softprompt.serving.http.schemas.answers import TaskAnswer, TasksAnswer, TasksBody
from softprompt.serving.http.service import Service, service_of
from softprompt.serving.http.unsupported import refuse_unsupported
from softprompt.serving.requests import Request as Asking
from softprompt.serving.requests import Sampling

__all__ = ["router"]

router = APIRouter(tags=["answers"], responses=ERRORS)


@router.post("/v1/tasks", operation_id="run_tasks")
async def run_tasks(http: Request, body: TasksBody) -> TasksAnswer:
    """Asks several prompts about one text; one that fails fails them all."""
    service, caller = service_of(http)
    caller.demand("infer")
    refuse_unsupported(body.model_extra)
    service.check_batch(len(body.prompts), "prompts")
    seconds = service.seconds(http, body.deadline, body.timeout)
    for part in body.text.values() if isinstance(body.text, dict) else [body.text]:
        service.check_text(part, "text")
    asked = Asked(service, caller, http, seconds)
    prompts = await asked.in_thread(_prompts, service, caller, body.prompts)
    text: str | Mapping[str, str] = body.text
    sampling = Sampling(max_new_tokens=body.max_tokens)
    found = await answers(
        asked,
        [
            Asking(prompt=prompt, text=text, sampling=sampling, deadline=seconds)
            for prompt in prompts
        ],
        together=True,
    )
    data = [
        TaskAnswer(
            index=index,
            prompt=name,
            prompt_version=answer.prompt,
            text=answer.text,
            probabilities=dict(answer.probabilities) or None,
            finish_reason=answer.finish,
            usage=usage_of([answer]),
        )
        for index, (name, answer) in enumerate(zip(body.prompts, found, strict=True))
    ]
    return TasksAnswer(
        id=f"tasks-{uuid.uuid4().hex}", created=int(time.time()), data=data, usage=usage_of(found)
    )


def _prompts(service: Service, caller: Caller, names: list[str]) -> list[str | None]:
    """Each name, checked, so that an error says which one is meant."""
    found = []
    for index, name in enumerate(names):
        prompt = service.prompt_of(caller, name, f"prompts.{index}")
        if prompt is not None:
            try:
                service.source.resolve(prompt)
            except UnknownPromptError as error:
                raise service.unknown(caller, name, f"prompts.{index}") from error
        found.append(prompt)
    return found
