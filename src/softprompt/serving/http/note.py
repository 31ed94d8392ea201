"""What is remembered of a request while it is at work, for its log line.

It holds plain values and knows nothing of logs.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any, cast

from softprompt.serving.http.caller import Caller

__all__ = ["Note", "attach", "note_of"]

_KEY = "softprompt.note"


@dataclass
class Note:
    """One request.

    Args:
        id: of the request, as the answer's header `X-Request-Id` says.
        caller: who sent it.
        prompts: versions that answered.
        prompt_tokens, completion_tokens, cached_tokens: of all its answers.
        contents: texts and answers, where they are logged.
        error: code of the error it ended with.
        origin: the web site whose page asks and may read the answer.
    """

    id: str
    caller: Caller = field(default_factory=lambda: Caller(None))
    prompts: list[str] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    contents: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None
    origin: str | None = None


def attach(scope: MutableMapping[str, Any], note: Note) -> None:
    """Puts a note to a request."""
    scope[_KEY] = note


def note_of(scope: MutableMapping[str, Any]) -> Note:
    """The note of a request."""
    return cast(Note, scope[_KEY])
