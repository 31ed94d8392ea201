"""Is the vLLM server still there, and after a restart still the right one?

Its `/health` is asked every few seconds. While it does not answer, requests are refused at once and
answers that have stopped coming are given up: a vLLM whose engine has ended may keep their
connections open without another word. When it answers again it is greeted as at the start, since it
may have come back with another model. It does not know requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from softprompt.errors import ServingError, SoftPromptError
from softprompt.serving.vllm_greeting import Greeting, greet
from softprompt.serving.vllm_table import EmbeddingTable
from softprompt.serving.vllm_upstream import Upstream

__all__ = ["Watch"]

_log = logging.getLogger(__name__)


class Watch:
    """Watches one server.

    Args:
        upstream: the server, which has been greeted once.
        table: of its model.
        greeted: is told what the server says of itself when it is back.
        every: seconds between looks.

    Attributes:
        problem: why no request can be answered at the moment, in one sentence; None while they can.
    """

    def __init__(
        self,
        upstream: Upstream,
        table: EmbeddingTable,
        greeted: Callable[[Greeting], None],
        *,
        every: float = 2.0,
    ) -> None:
        self._upstream, self._table = upstream, table
        self._greeted, self._every = greeted, every
        self.problem: str | None = None

    def check(self) -> None:
        """Refuses a request that cannot be answered.

        Raises:
            ServingError: the reason.
        """
        if self.problem is not None:
            raise ServingError(self.problem, "Try again later.")

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            await asyncio.sleep(self._every)
            try:
                await self.look()
            except Exception:
                _log.exception("looking after the vLLM server failed")

    async def look(self) -> None:
        """Asks the server once, and greets it where it was away."""
        if not await self._upstream.alive():
            self._tell("The vLLM server cannot be reached.")
            self._upstream.lose()
            return
        if self.problem is None:
            return
        try:
            greeting = await greet(self._upstream, self._table)
        except SoftPromptError as error:
            self._tell(error.message)
            return
        self._greeted(greeting)
        self._upstream.regain()
        self.problem = None
        _log.warning("the vLLM server is back")

    def _tell(self, problem: str) -> None:
        if problem != self.problem:
            _log.warning("no requests until this is mended: %s", problem)
        self.problem = problem
