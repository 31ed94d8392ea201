"""One copy of a model answering for many prompts at once.

    with Engine(backbone, Prompts({"sentiment": prompt})) as engine:
        engine.submit(Request(prompt="sentiment", text="quá hay")).result().text

It does not know HTTP, keys or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from softprompt.backbones import Backbone, free_memory_budget
from softprompt.errors import BackboneError
from softprompt.serving.batch_runner import BatchRunner
from softprompt.serving.beginnings import Beginnings
from softprompt.serving.context_pool import ContextPool
from softprompt.serving.continuous_runner import ContinuousRunner
from softprompt.serving.requests import Request
from softprompt.serving.residents import Residents
from softprompt.serving.room import check_room
from softprompt.serving.source import Source
from softprompt.serving.ticket import Ticket
from softprompt.serving.work import Preparation

__all__ = ["Engine"]

PROMPT_BYTES = 512 * 2**20
"""Loaded prompts take so much memory at most; of a 135M model that is some 10,000 prompts."""

PAGED = 1024
"""Positions a row that Transformers' cache has room for; it allocates all of them at once."""

POOL_SHARE, TEXT_SHARE = 0.02, 0.4
"""Parts of the free memory for contexts of texts read lately, and for texts being written."""


class Engine:
    """Answers requests for any prompts of a source, side by side.

    Args:
        backbone: the frozen model.
        source: where prompts are found by name.
        max_waiting: requests that may wait; more are refused.
        max_rows: rows that are computed side by side.
        context_bytes: keys and values of texts read lately to keep; None for a part of the memory
            that is free.
        texts: what writes text where both runners can: `batches` (this project's own) or
            `continuous` (Transformers' continuous batching).

    Attributes:
        backbone: as given.
        source: as given.

    Raises:
        BackboneError: the model is no decoder.
    """

    def __init__(
        self,
        backbone: Backbone,
        source: Source,
        *,
        max_waiting: int = 1024,
        max_rows: int = 64,
        context_bytes: int | None = None,
        texts: Literal["batches", "continuous"] = "batches",
    ) -> None:
        if backbone.form != "continued":
            raise BackboneError(
                f"The engine continues contexts of decoders; {backbone.identity.name} is another "
                "kind of model.",
                "Answer with `softprompt predict`, or serve a decoder.",
            )
        self.backbone, self.source = backbone, source
        self._max_waiting = max_waiting
        free = free_memory_budget(1.0, backbone.device)
        pool_bytes = int(POOL_SHARE * free) if context_bytes is None else context_bytes
        self._residents = Residents(backbone, source, PROMPT_BYTES)
        self._preparation = Preparation(backbone, self._residents)
        self._pool = ContextPool(backbone, pool_bytes)
        cells = max(backbone.window, int(TEXT_SHARE * free) // backbone.position_bytes)
        beginnings = Beginnings(backbone, self._pool, pool_bytes)
        self._batches = BatchRunner(backbone, beginnings, max_rows=max_rows, cells=cells)
        self._continuous = (
            ContinuousRunner(backbone, max_rows=max_rows, positions=min(cells, max_rows * PAGED))
            if texts == "continuous"
            else None
        )

    def submit(self, request: Request) -> Ticket:
        """Takes a request; its ticket tells of the answer.

        Raises:
            UnknownPromptError: no prompt has its name.
            OverloadedError: too many are waiting.
            SoftPromptError: it cannot be answered as it is (too long, a column missing, ...).
        """
        return self.submit_together([request])[0]

    def submit_together(self, requests: Sequence[Request]) -> list[Ticket]:
        """Takes requests about one text: what they have in common is computed once.

        Raises:
            SoftPromptError: as for `submit`, for any of them; then none is taken.
        """
        elsewhere = self._continuous.waiting if self._continuous else 0
        # Looked at before the work of preparing them; the queue looks again.
        check_room(self._batches.waiting + elsewhere, len(requests), self._max_waiting)
        works = [self._preparation.work(request) for request in requests]
        carried = [w for w in works if self._continuous is not None and self._continuous.takes(w)]
        mine = [work for work in works if work not in carried]
        if mine:
            self._batches.put(mine, most=self._max_waiting - elsewhere, shared=len(mine) > 1)
        if self._continuous is not None:
            self._continuous.put(carried)
        return [work.ticket for work in works]

    @property
    def alive(self) -> bool:
        """Whether requests can be answered."""
        return self._batches.alive

    @property
    def figures(self) -> dict[str, Any]:
        """Requests `running` and `waiting`; tokens of contexts that were known (`context_hits`) and
        that were computed (`context_misses`); loaded prompts and their bytes; `alive`."""
        other = self._continuous
        return {
            "running": self._batches.running + (other.running if other else 0),
            "waiting": self._batches.waiting + (other.waiting if other else 0),
            "context_hits": self._pool.hits,
            "context_misses": self._pool.misses,
            "loaded_prompts": len(self._residents),
            "loaded_bytes": self._residents.bytes,
            "alive": self.alive,
        }

    def close(self, *, drain: bool = True, timeout: float | None = None) -> None:
        """Takes no more requests.

        Args:
            drain: answer those that have been taken.
            timeout: seconds that this may take; then what is left fails. None for no limit.
        """
        if self._continuous is not None:
            self._continuous.close(drain=drain, timeout=timeout)
        self._batches.close(drain=drain, timeout=timeout)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(drain=False)
