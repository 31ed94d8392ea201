"""The engine over HTTP, as OpenAI's clients speak it.

    app = create_app(engine, registry, model="nano", config=ServerConfig(port=8000))
    run(app)

Needs the extra `serve`. It knows requests, answers and a source of prompts; it does not know how
answers are made, where prompts lie, nor how they are trained.
"""

from __future__ import annotations

from softprompt.errors import UsageError

try:
    import fastapi  # noqa: F401
    import prometheus_client  # noqa: F401
    import python_multipart  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError as error:
    raise UsageError(
        f"The server needs {error.name}, which is not installed.",
        "Run: pip install 'softprompt[serve]'",
    ) from error

from softprompt.serving.http.app import create_app
from softprompt.serving.http.config import ServerConfig
from softprompt.serving.http.server import Server, bind, run

__all__ = ["Server", "ServerConfig", "bind", "create_app", "run"]
