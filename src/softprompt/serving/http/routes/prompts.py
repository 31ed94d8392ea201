"""`/v1/prompts`: what lies in the registry, and an administrator's changes to it.

Every change is noted before it begins and after it ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request

from softprompt.errors import UnknownPromptError
from softprompt.serving.http.answering import in_thread
from softprompt.serving.http.caller import Caller
from softprompt.serving.http.errors import ApiError
from softprompt.serving.http.note import note_of
from softprompt.serving.http.routes import ERRORS
from softprompt.serving.http.schemas.prompts import AliasBody, PromptCard, PromptList, Removed
from softprompt.serving.http.service import Service, service_of
from softprompt.serving.http.uploads import FORM, Upload, uploaded

__all__ = ["router"]

router = APIRouter(tags=["prompts"], responses=ERRORS)


@router.get("/v1/prompts", operation_id="list_prompts")
async def list_prompts(http: Request) -> PromptList:
    """Every prompt that the caller may use, with versions and aliases."""
    service, caller = service_of(http)
    caller.demand("infer", "admin")
    cards = await in_thread(service, service.catalog.cards)
    return PromptList(data=[card for card in cards if caller.may_use(card.id)])


@router.get("/v1/prompts/{name}", operation_id="get_prompt")
async def get_prompt(http: Request, name: str) -> PromptCard:
    """One of them."""
    service, caller = service_of(http)
    caller.demand("infer", "admin")
    return await _card(service, caller, name)


@router.post("/v1/prompts", operation_id="upload_prompt", status_code=201, openapi_extra=FORM)
async def upload_prompt(http: Request) -> PromptCard:
    """Publishes an artifact under a name: its first version, or the next one."""
    service, caller = service_of(http)
    caller.demand("admin")
    registry = service.catalog.registry
    async with uploaded(http, service) as upload:
        if upload.name == service.model:
            message = "This is the name of the base model; a prompt needs another one."
            raise ApiError(400, message, param="name", code="invalid_value")
        _check_allowed(service, caller, upload.name)

        def publish(upload: Upload) -> Any:
            return registry.publish(upload.name, upload.folder, aliases=upload.aliases)

        version = await _changed(
            http, "publish", upload.name, lambda: publish(upload), aliases=list(upload.aliases)
        )
        return await _card(service, caller, version.name)


@router.delete("/v1/prompts/{name}", operation_id="remove_prompt")
async def remove_prompt(http: Request, name: str) -> Removed:
    """Removes a prompt with all its versions; requests at work finish."""
    service, caller = service_of(http)
    caller.demand("admin")
    _check_allowed(service, caller, name)
    registry = service.catalog.registry
    await _changed(http, "remove", name, lambda: registry.remove(name))
    return Removed(id=name, object="prompt.deleted")


@router.put("/v1/prompts/{name}/aliases/{alias}", operation_id="set_alias")
async def set_alias(http: Request, name: str, alias: str, body: AliasBody) -> PromptCard:
    """Points an alias, new or old, to a version: `name@alias` means that one from now on."""
    service, caller = service_of(http)
    caller.demand("admin")
    _check_allowed(service, caller, name)
    registry = service.catalog.registry
    await _changed(
        http,
        "alias",
        name,
        lambda: registry.alias(f"{name}@{body.version}", alias),
        alias=alias,
        version=body.version,
    )
    return await _card(service, caller, name)


@router.delete("/v1/prompts/{name}/aliases/{alias}", operation_id="remove_alias")
async def remove_alias(http: Request, name: str, alias: str) -> Removed:
    """Removes an alias; the version stays."""
    service, caller = service_of(http)
    caller.demand("admin")
    _check_allowed(service, caller, name)
    registry = service.catalog.registry
    await _changed(http, "unalias", name, lambda: registry.unalias(name, alias), alias=alias)
    return Removed(id=f"{name}@{alias}", object="alias.deleted")


@router.post("/v1/prompts/{name}/rollback", operation_id="rollback_prompt")
async def rollback_prompt(http: Request, name: str) -> PromptCard:
    """Lets the bare name mean the version that it meant before."""
    service, caller = service_of(http)
    caller.demand("admin")
    _check_allowed(service, caller, name)
    registry = service.catalog.registry
    await _changed(http, "rollback", name, lambda: registry.rollback(name))
    return await _card(service, caller, name)


async def _changed(
    http: Request, action: str, name: str, change: Callable[[], Any], **about: Any
) -> Any:
    """Does a change in a thread, between its two lines of the audit log."""
    service, caller = service_of(http)

    def noted() -> Any:
        request = note_of(http.scope).id
        with service.audit.action(
            action, by=caller.label, request=request, name=name, **about
        ) as found:
            done = change()
            if hasattr(done, "number"):
                found["version"] = done.number
        return done

    try:
        return await in_thread(service, noted)
    except UnknownPromptError as error:
        if not any(name == known for known in service.catalog.names()):
            raise service.unknown(caller, name, "name") from error
        raise


async def _card(service: Service, caller: Caller, name: str) -> PromptCard:
    card = await in_thread(service, service.catalog.card, name)
    if card is None or not caller.may_use(name):
        raise service.unknown(caller, name, "name")
    found: PromptCard = card
    return found


def _check_allowed(service: Service, caller: Caller, name: str) -> None:
    """An administrator's key with a list changes only what is on it."""
    if not caller.may_use(name):
        raise service.unknown(caller, name, "name")
