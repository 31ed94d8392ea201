"""`/v1/models`: the base model and a card for each prompt."""

from __future__ import annotations

from fastapi import APIRouter, Request

from softprompt.errors import UnknownPromptError
from softprompt.serving.http.answering import in_thread
from softprompt.serving.http.routes import ERRORS
from softprompt.serving.http.schemas.prompts import ModelCard, ModelList
from softprompt.serving.http.service import Service, service_of

__all__ = ["router"]

router = APIRouter(tags=["models"], responses=ERRORS)


@router.get("/v1/models", operation_id="list_models")
async def list_models(http: Request) -> ModelList:
    """The base model and every prompt that the caller may use."""
    service, caller = service_of(http)
    caller.demand("infer", "tune", "admin")
    served = {service.model: None, **await in_thread(service, service.catalog.served)}
    cards = [
        _card(service, name, created) for name, created in served.items() if caller.may_use(name)
    ]
    return ModelList(data=cards)


@router.get("/v1/models/{model:path}", operation_id="get_model")
async def get_model(http: Request, model: str) -> ModelCard:
    """One of them; a version or an alias (`name@3`) has a card as well."""
    service, caller = service_of(http)
    caller.demand("infer", "tune", "admin")
    prompt = service.prompt_of(caller, model)
    if prompt is not None:
        try:
            await in_thread(service, service.source.resolve, prompt)
        except UnknownPromptError as error:
            raise service.unknown(caller, model) from error
    return _card(service, model)


def _card(service: Service, name: str, created: int | None = None) -> ModelCard:
    base = name == service.model
    created = service.created if created is None else created
    return ModelCard(
        id=name, created=created, root=service.model, parent=None if base else service.model
    )
