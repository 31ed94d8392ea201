"""`/health`, `/ready` and `/metrics`: for the machines that watch over the server."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from softprompt.serving.http.errors import ApiError, draining
from softprompt.serving.http.routes import ERRORS
from softprompt.serving.http.schemas.prompts import Status
from softprompt.serving.http.service import Service, service_of

__all__ = ["router"]

router = APIRouter(tags=["probes"], responses=ERRORS)
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/health", operation_id="health")
async def health(http: Request) -> Status:
    """Whether the process answers, and its engine could."""
    service: Service = http.app.state.service
    _check_engine(service)
    return Status(status="ok")


@router.get("/ready", operation_id="ready")
async def ready(http: Request) -> Status:
    """Whether new requests should come here: the server stays, and its engine can answer."""
    service: Service = http.app.state.service
    if service.draining:
        raise draining()
    _check_engine(service)
    # Only readiness: restarting this server mends nothing there.
    if not service.engine.figures.get("ready", True):
        message = "The vLLM server cannot be reached."
        raise ApiError(503, message, code="upstream_unreachable")
    return Status(status="ready")


@router.get(
    "/metrics",
    operation_id="metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(http: Request) -> Response:
    """Figures for Prometheus; with keys, any that no prompt is hidden from."""
    service, caller = service_of(http)
    if not caller.sees_all:
        message = "The figures name every prompt; this key may see some only."
        raise ApiError(403, message, code="insufficient_scope")
    return Response(service.metrics.page(), media_type=_TEXT)


def _check_engine(service: Service) -> None:
    if not service.engine.figures.get("alive", True):
        raise ApiError(503, "The engine has ended; start the server again.", code="engine_ended")
