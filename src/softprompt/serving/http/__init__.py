"""The engine over HTTP, as OpenAI's clients speak it.

    app = create_app(engine, registry, model="nano")
    run(app, ServerConfig(port=8000))

Needs the extra `serve`. It knows requests, answers and a source of prompts; it does not know how
answers are made, where prompts lie, nor how they are trained.
"""

from __future__ import annotations

from softprompt.serving.http.app import create_app
from softprompt.serving.http.config import ServerConfig
from softprompt.serving.http.server import Server, run

__all__ = ["Server", "ServerConfig", "create_app", "run"]
