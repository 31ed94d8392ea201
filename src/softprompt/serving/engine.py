"""One copy of a model answering for many prompts at once.

    with Engine(backbone, Prompts({"sentiment": prompt})) as engine:
        engine.submit(Request(prompt="sentiment", text="quá hay")).result().text

(interface; the body follows)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from softprompt.backbones import Backbone
from softprompt.serving.requests import Request
from softprompt.serving.source import Source
from softprompt.serving.ticket import Ticket

__all__ = ["Engine"]


class Engine:
    """Answers requests for any prompts of a source, side by side.

    Args:
        backbone: the frozen model.
        source: where prompts are found by name.
        max_waiting: requests that may wait; more are refused.
        max_rows: rows that are computed side by side.
    """

    def __init__(
        self,
        backbone: Backbone,
        source: Source,
        *,
        max_waiting: int = 1024,
        max_rows: int = 64,
    ) -> None:
        raise NotImplementedError

    def submit(self, request: Request) -> Ticket:
        """Takes a request; its ticket tells of the answer.

        Raises:
            UnknownPromptError: no prompt has its name.
            OverloadedError: too many are waiting.
            SoftPromptError: it cannot be answered as it is (too long, a column missing, ...).
        """
        raise NotImplementedError

    def submit_together(self, requests: Sequence[Request]) -> list[Ticket]:
        """Takes requests that share text: what they have in common is computed once."""
        raise NotImplementedError

    @property
    def figures(self) -> dict[str, Any]:
        """`running`, `waiting` (requests now), `context_hits`, `context_misses` (tokens), `rows`."""
        raise NotImplementedError

    def close(self, *, drain: bool = True, timeout: float | None = None) -> None:
        """Takes no more requests; those taken are answered first where `drain` is set."""
        raise NotImplementedError

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(drain=False)
