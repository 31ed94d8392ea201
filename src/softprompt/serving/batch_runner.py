"""The loop that answers: passes over whatever waits, then one more token of everything at work.

One thread computes. Each turn scores the choices that wait, begins the texts that there is room
for, and adds a token to every text at work, so that nobody waits for another's whole answer. It
does not know names of prompts nor how requests come in.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from threading import Condition, Thread

from softprompt.backbones import Backbone, give_back_memory
from softprompt.errors import CancelledError, ServingError, SoftPromptError
from softprompt.serving.beginnings import Beginnings
from softprompt.serving.room import check_room
from softprompt.serving.scorer import Scorer
from softprompt.serving.work import Work
from softprompt.serving.writer import Writer

__all__ = ["BatchRunner"]

TURN_TOKENS = 4096
"""Positions that are scored, and that begin, in one turn: more would keep those at work waiting."""

TRIM_SECONDS = 3.0
"""How often the allocator is asked for what nobody uses; it takes some milliseconds."""

SWEEP_SECONDS = 0.2
"""How often those who wait are asked whether they still do."""

_log = logging.getLogger(__name__)


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
        self._writer = Writer(backbone, beginnings, max_rows)
        self._changed = Condition()
        self._groups: deque[Sequence[Work]] = deque()
        self._texts: deque[Work] = deque()
        self._running = 0
        self._swept = self._trimmed = time.monotonic()
        self._closing = self._draining = False
        self._thread = Thread(target=self._loop, name="softprompt-batches", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Requests that have not begun."""
        with self._changed:
            return self._count()

    @property
    def running(self) -> int:
        """Requests at work."""
        return self._running

    @property
    def alive(self) -> bool:
        """Whether anybody computes."""
        return self._thread.is_alive()

    def put(self, works: Sequence[Work], *, most: int, shared: bool = False) -> None:
        """Takes requests.

        Args:
            works: ready for a pass.
            most: requests that may wait, these included.
            shared: they are about one text, whose beginning shall be computed once.

        Raises:
            ServingError: the runner is closed.
            OverloadedError: too many are waiting.
        """
        with self._changed:
            if self._closing:
                raise ServingError("The engine is shutting down.", "Ask again later.")
            check_room(self._count(), len(works), most)
            choices = [work for work in works if work.labels]
            self._groups.extend([choices] if shared and choices else [[work] for work in choices])
            self._texts.extend(work for work in works if not work.labels)
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

    def _count(self) -> int:
        return sum(map(len, self._groups)) + len(self._texts)

    def _loop(self) -> None:
        try:
            while self._turned():
                pass
        except BaseException:
            _log.exception("the engine's thread ended")
        with self._changed:
            self._closing = True
            left = [*chain(*self._groups), *self._texts]
            self._groups.clear()
            self._texts.clear()
        self._writer.changing = True
        self._fail([*left, *self._writer.clear()], CancelledError("The engine is shutting down."))

    def _turned(self) -> bool:
        """One turn: scores, begins, one token more. False when there is no other."""
        with self._changed:
            while not (self._groups or self._texts or len(self._writer) or self._closing):
                self._changed.wait()
            work = self._groups or self._texts or len(self._writer)
            if self._closing and not (self._draining and work):
                return False
            self._sweep()
            groups, begun = self._scored(), self._begun()
        single = [group[0] for group in groups if len(group) == 1]
        together = [group for group in groups if len(group) > 1]
        self._running = sum(map(len, (single, *together, begun))) + len(self._writer)
        for works in ([single] if single else []) + together:
            self._guarded(partial(self._scorer.score, works), works)
        if begun:
            self._guarded(partial(self._writer.begin, begun), begun, writing=True)
        if len(self._writer):
            self._guarded(self._writer.step, (), writing=True)
        self._running = len(self._writer)
        if time.monotonic() - self._trimmed > TRIM_SECONDS:
            give_back_memory()
            self._trimmed = time.monotonic()
        return True

    def _sweep(self) -> None:
        """Tells those who wait for nothing any more, a few times a second."""
        if time.monotonic() - self._swept < SWEEP_SECONDS:
            return
        self._swept = time.monotonic()
        groups = [[work for work in group if self._wanted(work)] for group in self._groups]
        self._groups = deque(group for group in groups if group)
        self._texts = deque(work for work in self._texts if self._wanted(work))

    def _scored(self) -> list[list[Work]]:
        """The choices of this turn, those about one text together."""
        found: list[list[Work]] = []
        rows = tokens = 0
        while self._groups and rows < self._max_rows and tokens < TURN_TOKENS:
            works = [work for work in self._groups.popleft() if self._wanted(work)]
            if works:
                found.append(works)
            rows += sum(len(work.rows) for work in works)
            tokens += sum(work.tokens for work in works)
        self._start(chain(*found))
        return found

    def _begun(self) -> list[Work]:
        """The texts that begin in this turn: those at the head of the queue that there is room for.

        One that finds no room is not overtaken by a shorter one that came later.
        """
        begun: list[Work] = []
        at_work = self._writer.works
        longest = max((work.tokens + work.most for work in at_work), default=0)
        first = 0
        while self._texts:
            work = self._texts[0]
            if not self._wanted(work):
                self._texts.popleft()
                continue
            seats = len(at_work) + len(begun) + 1
            longest, first = max(longest, work.tokens + work.most), max(first, work.tokens)
            crowded = seats > 1 and (seats > self._max_rows or longest * seats > self._cells)
            if crowded or (begun and first * (len(begun) + 1) > TURN_TOKENS):
                break
            begun.append(self._texts.popleft())
        self._start(begun)
        return begun

    def _start(self, works: Iterable[Work]) -> None:
        now = time.monotonic()
        for work in works:
            work.ticket.started = now

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

    def _fail(self, works: Sequence[Work], error: SoftPromptError) -> None:
        for work in works:
            work.ticket.put(error)
