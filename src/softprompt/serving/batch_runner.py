"""The loop that answers: passes over whatever waits, then one more token of everything at work.

One thread computes. Each turn scores the choices that wait, begins the texts that there is room
for, and adds a token to every text at work, so that nobody waits for another's whole answer. It
does not know names of prompts nor how requests come in.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from threading import Condition, Thread

from softprompt.backbones import Backbone
from softprompt.errors import CancelledError, ServingError, SoftPromptError
from softprompt.serving.beginnings import Beginnings
from softprompt.serving.scorer import Scorer
from softprompt.serving.work import Work
from softprompt.serving.writer import Writer

__all__ = ["BatchRunner"]

FIRST_TOKENS = 4096
"""Positions that begin in one turn, padding counted: more would keep those at work waiting."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Waiting:
    """Requests that came together; `shared` says that they are about one text."""

    works: Sequence[Work]
    shared: bool


class BatchRunner:
    """Answers requests in one thread of its own.

    Args:
        backbone: the frozen model.
        beginnings: what is known already.
        max_rows: rows side by side.
        cells: positions, padding counted, that texts at work may take together.
    """

    def __init__(
        self,
        backbone: Backbone,
        beginnings: Beginnings,
        *,
        max_rows: int,
        cells: int,
    ) -> None:
        self._max_rows, self._cells = max_rows, cells
        self._turn = backbone.turn
        self._scorer = Scorer(backbone, beginnings, max_rows)
        self._writer = Writer(backbone, beginnings)
        self._changed = Condition()
        self._waiting: deque[_Waiting] = deque()
        self._running = 0
        self._closing = self._draining = False
        self._thread = Thread(target=self._loop, name="softprompt-batches", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Requests that have not begun."""
        with self._changed:
            return sum(len(group.works) for group in self._waiting)

    @property
    def running(self) -> int:
        """Requests at work."""
        return self._running

    def put(self, works: Sequence[Work], *, shared: bool = False) -> None:
        """Takes requests.

        Args:
            works: ready for a pass.
            shared: they are about one text, whose beginning shall be computed once.

        Raises:
            ServingError: the runner is closed.
        """
        with self._changed:
            if self._closing:
                raise ServingError("The engine is shutting down.", "Ask again later.")
            self._waiting.append(_Waiting(works, shared))
            self._changed.notify()

    def close(self, *, drain: bool, timeout: float | None) -> None:
        """Ends the thread; requests not answered by then fail."""
        with self._changed:
            self._closing, self._draining = True, drain
            self._changed.notify()
        self._thread.join(timeout)
        if self._thread.is_alive():
            with self._changed:
                self._draining = False
            self._thread.join()

    def _loop(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or len(self._writer) or self._closing):
                    self._changed.wait()
                if self._closing and not (self._draining and (self._waiting or len(self._writer))):
                    break
                scored, together, begun = self._taken()
            self._running = sum(map(len, (scored, *together, begun))) + len(self._writer)
            if scored:
                self._guarded(partial(self._scorer.score, scored), scored)
            for works in together:
                self._guarded(partial(self._scorer.score, works), works)
            if begun:
                self._guarded(partial(self._writer.begin, begun), begun, writing=True)
            if len(self._writer):
                self._guarded(self._writer.step, (), writing=True)
            self._running = len(self._writer)
        self._fail(self._left(), CancelledError("The engine is shutting down."))

    def _taken(self) -> tuple[list[Work], list[list[Work]], list[Work]]:
        """What this turn scores, what of it shares a text, and what it begins to write."""
        now = time.monotonic()
        scored: list[Work] = []
        together: list[list[Work]] = []
        begun: list[Work] = []
        kept: deque[_Waiting] = deque()
        rows = 0
        while self._waiting and rows < self._max_rows:
            group = self._waiting.popleft()
            choices = [work for work in group.works if work.labels and self._wanted(work)]
            texts = [work for work in group.works if not work.labels and self._wanted(work)]
            rows += sum(len(work.rows) for work in choices)
            if group.shared and len(choices) > 1:
                together.append(choices)
            else:
                scored += choices
            later = [work for work in texts if not self._room(begun, work)]
            if later:
                kept.append(_Waiting(later, group.shared))
        # Texts that found no room keep their place before those that came later.
        self._waiting.extendleft(reversed(kept))
        for work in (*scored, *chain(*together), *begun):
            work.ticket.started = now
        return scored, together, begun

    def _room(self, begun: list[Work], work: Work) -> bool:
        """Puts a text among those that begin, if there is room for it."""
        seats = [*self._writer.works, *begun, work]
        if len(seats) > self._max_rows:
            return False
        longest = max(other.tokens + other.most for other in seats)
        first = (len(begun) + 1) * max(other.tokens for other in [*begun, work])
        if len(seats) > 1 and (longest * len(seats) > self._cells or first > FIRST_TOKENS):
            return False
        begun.append(work)
        return True

    def _wanted(self, work: Work) -> bool:
        reason = work.ticket.expired
        if reason is not None:
            work.ticket.put(reason)
        return reason is None

    def _guarded(
        self, step: Callable[[], None], works: Sequence[Work], *, writing: bool = False
    ) -> None:
        """One piece of computing; what it fails at fails, and the loop goes on."""
        try:
            with self._turn:
                step()
            return
        except SoftPromptError as reason:
            error = reason
        except Exception:
            _log.exception("a pass failed")
            error = ServingError("The model failed at this request.", "Try again.")
        # Texts at work may be half changed by a failed step, so they cannot go on either.
        self._fail([*works, *(self._writer.clear() if writing else ())], error)

    def _left(self) -> list[Work]:
        with self._changed:
            waiting = [work for group in self._waiting for work in group.works]
            self._waiting.clear()
        return [*waiting, *self._writer.clear()]

    def _fail(self, works: Sequence[Work], error: SoftPromptError) -> None:
        for work in works:
            work.ticket.put(error)
