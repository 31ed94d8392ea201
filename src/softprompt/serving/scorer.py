"""Choices of many requests, scored in few passes.

Members of an ensemble are rows over one context; so are tasks asked about one text. It does not
know queues.

Shapes: B requests, K rows of each, C choices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from softprompt.backbones import Backbone, Context
from softprompt.evaluation import probabilities
from softprompt.inference.mixed import score_rows
from softprompt.prompts import Example
from softprompt.serving.context_pool import LEAST, ContextPool, joined, shared_length
from softprompt.serving.requests import Answer
from softprompt.serving.work import Work

__all__ = ["Scorer", "beginning_cut"]

PASS_TOKENS = 8192
"""Positions of a pass, padding counted: more save no time and take memory."""


class Scorer:
    """Scores choices.

    Args:
        backbone: the frozen model.
        pool: contexts known already.
        max_rows: rows of a pass at most.
    """

    def __init__(self, backbone: Backbone, pool: ContextPool, max_rows: int) -> None:
        self._backbone, self._pool, self._max_rows = backbone, pool, max_rows

    def score(self, works: Sequence[Work]) -> None:
        """Answers requests of any prompts and lengths."""
        for some in self._passes(works):
            context = self._contexts(some)
            cuts = context.lengths_B.tolist()
            counts = [len(work.rows) for work in some]
            if len(set(counts)) > 1:
                # Ensembles of several sizes: every row gets its context beside it.
                context = context.select(np.repeat(range(len(some)), counts).tolist())
            self._answer(some, cuts, context)

    def score_together(self, works: Sequence[Work]) -> None:
        """Answers requests about one text, whose shared beginning is computed once."""
        shared = shared_length([work.context for work in works])
        if shared < LEAST:
            self.score(works)
            return
        beginning = works[0].context[:shared]
        known = self._pool.find(beginning)
        if known is None or known.width < shared:
            known = self._pool.compute([beginning])
        rows = max(1, self._max_rows // max(len(work.rows) for work in works))
        for start in range(0, len(works), rows):
            some = works[start : start + rows]
            self._answer(some, [shared] * len(some), known)

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

    def _contexts(self, works: Sequence[Work]) -> Context:
        """What is known of each request's context; long ones that are not are computed."""
        found: list[Context | None] = [self._pool.find(work.context) for work in works]
        missing = [
            number
            for number, (work, context) in enumerate(zip(works, found, strict=True))
            if len(work.context) >= LEAST
            and (context is None or 2 * context.width < len(work.context))
        ]
        if missing:
            computed = self._pool.compute([works[number].context for number in missing])
            if len(missing) == len(works):
                return computed
            for row, number in enumerate(missing):
                found[number] = computed.select([row])
        return joined(found, self._backbone.device)

    def _answer(self, works: Sequence[Work], cuts: Sequence[int], context: Context) -> None:
        """Scores requests over contexts of which so many tokens of each are in `context`."""
        rows = [
            replace(row, example=beginning_cut(row.example, cut))
            for work, cut in zip(works, cuts, strict=True)
            for row in work.rows
        ]
        scores = iter(score_rows(self._backbone, context, rows))
        for work, cut in zip(works, cuts, strict=True):
            by_member = np.array([next(scores) for _ in work.rows])
            chances = probabilities(by_member[:, None], work.temperature)[0]
            best = int(chances.argmax())
            answer = Answer(
                text=work.labels[best],
                finish="stop",
                prompt=work.prompt,
                probabilities=dict(zip(work.labels, map(float, chances), strict=True)),
                prompt_tokens=work.tokens,
                completion_tokens=len(work.rows[0].example.answers[best]) - 1,
                cached_tokens=cut,
            )
            work.ticket.put(answer)


def beginning_cut(example: Example, count: int) -> Example:
    """The same row with `count` tokens of its context as context, the others in its trunk."""
    context = example.context
    return replace(example, context=context[:count], trunk=context[count:] + example.trunk)
