"""Choices of many requests, scored in few passes.

Members of an ensemble are rows over one context; so are tasks asked about one text. It does not
know queues.

Shapes: B requests, K rows of each, C choices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from math import gcd

from softprompt.backbones import Backbone, Context
from softprompt.errors import ServingError
from softprompt.inference.mixed import score_rows
from softprompt.serving.beginnings import Beginnings, Begun
from softprompt.serving.context_pool import joined
from softprompt.serving.work import Work

__all__ = ["Scorer"]

PASS_TOKENS = 8192
"""Positions of a pass, padding counted: more save no time and take memory."""


class Scorer:
    """Scores choices.

    Args:
        backbone: the frozen model.
        beginnings: what is known already.
        max_rows: rows of a pass at most.
    """

    def __init__(self, backbone: Backbone, beginnings: Beginnings, max_rows: int) -> None:
        self._backbone, self._beginnings, self._max_rows = backbone, beginnings, max_rows

    def score(self, works: Sequence[Work]) -> None:
        """Answers requests of any prompts and lengths."""
        for some in self._passes(works):
            self._answer(some, self._beginnings.compute([row for w in some for row in w.rows]))

    def _passes(self, works: Sequence[Work]) -> Iterator[list[Work]]:
        """Requests of similar size, no more than a pass should hold."""

        def size(work: Work) -> tuple[int, int]:
            example = work.rows[0].example
            return len(example.context), len(example.trunk) + sum(map(len, example.answers))

        some: list[Work] = []
        rows = real = 0
        for work in sorted(works, key=size):
            tokens = sum(size(work))
            rows, real = rows + len(work.rows), real + tokens * len(work.rows)
            width = max(size(other)[0] for other in [*some, work]) + max(
                size(other)[1] for other in [*some, work]
            )
            full = rows > self._max_rows or rows * width > max(PASS_TOKENS, tokens)
            if some and (full or rows * width > 2 * real + 512):
                yield some
                some, rows, real = [], len(work.rows), tokens * len(work.rows)
            some.append(work)
        if some:
            yield some

    def _answer(self, works: Sequence[Work], begun: Sequence[Begun]) -> None:
        """Scores requests whose rows, those of one after another's, are begun."""
        known = [one.known for one in begun]
        share = _sharing(known)
        context = joined(known[::share], self._backbone.device)
        scores = iter(score_rows(self._backbone, context, [one.row for one in begun]))
        first = 0
        for work in works:
            by_member = [next(scores) for _ in work.rows]
            try:
                read = _read(work, begun[first], self._backbone)
                work.ticket.put(work.chosen(by_member, begun[first].cached, read))
            except ServingError as error:
                work.ticket.put(error)
            first += len(work.rows)


def _read(work: Work, begun: Begun, backbone: Backbone) -> list[float] | None:
    """What the request's readout says of its text; None where there is none."""
    if work.readout is None:
        return None
    context = begun.known or Context.empty(1, backbone.device)
    return [float(score) for score in work.readout.logits(backbone, context)[0]]


def _sharing(known: Sequence[Context | None]) -> int:
    """The largest number of rows, the same for all, that follow one another over one context."""
    runs = [len(list(some)) for _, some in groupby(known, key=id)]
    share = gcd(*runs)
    return share if known[0] is not None else 1
