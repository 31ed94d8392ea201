"""The application: layers, addresses, and what they share.

    create_app(engine, registry, model="nano", keys=Keys("keys.json"), audit=Audit("audit.jsonl"))

It does not know where it listens.
"""

from __future__ import annotations

from fastapi import FastAPI
from starlette.middleware import Middleware

from softprompt import __version__
from softprompt.serving.audit import Audit
from softprompt.serving.engine import Engine
from softprompt.serving.http.access_log import AccessLog
from softprompt.serving.http.config import ServerConfig
from softprompt.serving.http.gate import Gate
from softprompt.serving.http.handlers import add_handlers
from softprompt.serving.http.metrics import Metrics
from softprompt.serving.http.routes import (
    chat,
    classify,
    completions,
    files,
    fine_tuning,
    models,
    probes,
    prompts,
    tasks,
)
from softprompt.serving.http.service import Service
from softprompt.serving.jobs import Jobs
from softprompt.serving.keys import Keys
from softprompt.serving.source import Source

__all__ = ["create_app"]


def create_app(
    engine: Engine,
    source: Source,
    *,
    model: str,
    config: ServerConfig | None = None,
    keys: Keys | None = None,
    audit: Audit | None = None,
    jobs: Jobs | None = None,
) -> FastAPI:
    """An ASGI application that answers with an engine.

    Args:
        engine: answers; whoever made it closes it after the server has ended.
        source: the engine's prompts; a registry can also be listed and changed.
        model: what the base model is called; no path.
        config: limits.
        keys: who may call; None for everybody who reaches it, which `run` allows on the loopback
            only.
        audit: where administrators' actions are noted; None for nowhere.
        jobs: that tune for clients; whoever made them closes them. None where none shall.
    """
    config = config or ServerConfig()
    metrics = Metrics(model, lambda: engine.figures, config.prompt_labels)
    service = Service(engine, source, model, config, keys, audit or Audit(None), metrics, jobs)
    app = FastAPI(
        title="softprompt",
        version=__version__,
        description="One frozen model answering for any number of tasks.",
        docs_url=None,
        redoc_url=None,
        # A redirection is no answer in the API's shape, and names the scheme behind a proxy.
        redirect_slashes=False,
        middleware=[
            Middleware(AccessLog, metrics=metrics),
            Middleware(Gate, service=service),
        ],
    )
    app.state.service = service
    add_handlers(app)
    groups = (models, completions, chat, classify, tasks, prompts, files, fine_tuning, probes)
    for group in groups:
        app.include_router(group.router)
    return app
