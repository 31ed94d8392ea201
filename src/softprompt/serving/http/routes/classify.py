"""`/v1/classify`: labels with calibrated probabilities, for one text or several."""

from __future__ import annotations

import time
import uuid
from typing import Any

from fastapi import APIRouter, Request

from softprompt.errors import UnknownPromptError
from softprompt.serving.http.answering import Asked, answers, usage_of
from softprompt.serving.http.errors import ApiError
from softprompt.serving.http.routes import ERRORS
from softprompt.serving.http.schemas.answers import ClassifyAnswer, ClassifyBody, Label
from softprompt.serving.http.service import Service, service_of
from softprompt.serving.http.unsupported import refuse_unsupported
from softprompt.serving.requests import Request as Asking

__all__ = ["router"]

# Labels of a request are scored side by side over each text, at a cost that grows with the square
# of their length: some hundred long ones would take all memory that there is.
_MOST_BYTES, _MOST_BYTES_OF_ALL = 4 << 10, 64 << 10

router = APIRouter(tags=["answers"], responses=ERRORS)


@router.post("/v1/classify", operation_id="classify")
async def classify(http: Request, body: ClassifyBody) -> ClassifyAnswer:
    """Labels texts; the prompt, or the body, says which labels there are."""
    service, caller = service_of(http)
    caller.demand("infer")
    refuse_unsupported(body.model_extra)
    prompt = service.prompt_of(caller, body.model)
    seconds = service.seconds(http, body.deadline, body.timeout)
    texts = _texts(service, body)
    service.check_batch(len(texts), "input")
    asked = Asked(service, caller, http, seconds)
    try:
        labels = await asked.in_thread(_labels, service, prompt, body, len(texts))
    except UnknownPromptError as error:
        raise service.unknown(caller, body.model) from error
    found = await answers(
        asked,
        [
            Asking(
                prompt=prompt, text=text, template=body.template, choices=labels, deadline=seconds
            )
            for text in texts
        ],
    )
    data = [
        Label(
            index=index,
            label=answer.text,
            probability=answer.probabilities[answer.text],
            probabilities=dict(answer.probabilities),
        )
        for index, answer in enumerate(found)
    ]
    return ClassifyAnswer(
        id=f"classify-{uuid.uuid4().hex}",
        created=int(time.time()),
        model=body.model,
        prompt_version=found[0].prompt,
        data=data,
        usage=usage_of(found),
    )


def _texts(service: Service, body: ClassifyBody) -> list[Any]:
    texts: list[Any] = body.input if isinstance(body.input, list) else [body.input]
    for text in texts:
        for part in [text] if isinstance(text, str) else text.values():
            service.check_text(part, "input")
    return texts


def _labels(
    service: Service, prompt: str | None, body: ClassifyBody, texts: int
) -> tuple[str, ...] | None:
    """The labels of the body, checked; None for the prompt's own."""
    if body.labels is not None:
        labels = tuple(body.labels)
        if len(set(labels)) < len(labels) or not all(0 < len(label) <= 2000 for label in labels):
            message = "labels are different texts of 1 to 2000 characters."
            raise ApiError(400, message, param="labels", code="invalid_value")
        size = sum(len(label.encode("utf-8", "replace")) for label in labels)
        most = min(_MOST_BYTES, _MOST_BYTES_OF_ALL // texts)
        if size > most:
            message = (
                f"labels have {size} bytes together; at most {most} are taken for {texts} "
                f"{'text' if texts == 1 else 'texts'}. Give fewer or shorter ones."
            )
            raise ApiError(400, message, param="labels", code="labels_too_long")
        return labels
    if prompt is None:
        message = "The base model has no labels of its own; give them with `labels`."
        raise ApiError(400, message, param="labels", code="missing_field")
    if not service.task(prompt).choices:
        message = "This prompt writes freely; give `labels`, or ask /v1/completions."
        raise ApiError(400, message, param="model", code="no_labels")
    return None
