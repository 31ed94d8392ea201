"""The addresses of the server, one file for each group; every file has a `router`.

Routes turn bodies into requests and answers into bodies.
"""

from __future__ import annotations

from typing import Any

from softprompt.serving.http.schemas.shared import ErrorAnswer

__all__ = ["ERRORS"]

ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer, "description": "What is wrong with the request."},
    "5XX": {"model": ErrorAnswer, "description": "The request was right, the server could not."},
}
"""What every address may answer."""
