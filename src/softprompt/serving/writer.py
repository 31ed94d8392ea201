"""Answers that are written token by token, rows of any prompts side by side.

Rows begin and end at any step; what a row writes does not depend on the others. It does not know
queues.

Shapes: R rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from softprompt.backbones import Backbone, RowBatch
from softprompt.errors import SoftPromptError
from softprompt.inference.mixed import first_pass
from softprompt.serving.beginnings import Beginnings
from softprompt.serving.context_pool import joined
from softprompt.serving.requests import Answer, Piece
from softprompt.serving.sampler import choose
from softprompt.serving.token_text import TokenText
from softprompt.serving.work import Work

__all__ = ["Writer"]


@dataclass(eq=False)
class _Seat:
    """A row at work.

    Args:
        work: what it is for.
        text: what it has written.
        cached: tokens of its context that were known.
        count: tokens written.
        given: of these, how many are in pieces given out.
        next: its newest token.
    """

    work: Work
    text: TokenText
    cached: int
    count: int = 0
    given: int = 0
    next: int = 0


class Writer:
    """Writes answers.

    Args:
        backbone: the frozen model.
        beginnings: what is known already.
        rows: to make room for at once.

    Attributes:
        changing: whether rows at work may be half changed by what is done now.
    """

    def __init__(self, backbone: Backbone, beginnings: Beginnings, rows: int) -> None:
        self._backbone, self._beginnings, self._rows = backbone, beginnings, rows
        self._batch = RowBatch(backbone, rows)
        self._seats: list[_Seat] = []
        self.changing = False

    def __len__(self) -> int:
        return len(self._seats)

    @property
    def works(self) -> list[Work]:
        """What is being written."""
        return [seat.work for seat in self._seats]

    def begin(self, works: Sequence[Work]) -> None:
        """Computes the first token of requests; they join those at work."""
        self.changing = False
        begun = self._beginnings.find([work.rows[0] for work in works])
        context = joined([one.known for one in begun], self._backbone.device)
        hidden_RD, whole = first_pass(self._backbone, context, [one.row for one in begun])
        for number, work in enumerate(works):
            self._beginnings.keep(work.rows[0], whole, number)
        self.changing = True
        self._batch.join(whole)
        tokenizer = self._backbone.tokenizer
        fresh = [
            _Seat(
                work,
                TokenText(tokenizer, work.ticket.request.sampling.stop, strip=work.strip),
                one.cached,
            )
            for work, one in zip(works, begun, strict=True)
        ]
        first = len(self._seats)
        self._seats += fresh
        self._choose(hidden_RD, range(first, len(self._seats)))

    def step(self) -> None:
        """Computes one more token of every row."""
        self.changing = True
        self.drop_unwanted()
        if not self._seats:
            return
        ids_R = torch.tensor([seat.next for seat in self._seats], device=self._backbone.device)
        self._choose(self._batch.add(ids_R), range(len(self._seats)))

    def drop_unwanted(self) -> None:
        """Takes out rows that nobody waits for any more."""
        for number in reversed(range(len(self._seats))):
            ticket = self._seats[number].work.ticket
            reason = ticket.expired
            if reason is not None:
                ticket.put(reason)
                self._leave(number)

    def clear(self) -> list[Work]:
        """Forgets all rows, after a failure that may have left them half changed.

        Returns:
            What they were for; nothing where the failure came before any of them changed.
        """
        if not self.changing:
            return []
        works = self.works
        self._seats, self._batch = [], RowBatch(self._backbone, self._rows)
        return works

    @torch.no_grad()
    def _choose(self, hidden_RD: Tensor, numbers: range) -> None:
        """The next token of some rows; those that are at their end leave."""
        choosers = [chooser for n in numbers if (chooser := self._seats[n].work.chooser)]
        tokens = choose(self._backbone.logits(hidden_RD), choosers)
        ended = [
            number
            for number, token in zip(numbers, tokens, strict=True)
            if self._take(self._seats[number], token)
        ]
        for number in reversed(ended):
            self._leave(number)

    def _take(self, seat: _Seat, token: int | SoftPromptError) -> bool:
        """Notes a row's new token, or its failure; returns whether the row is at its end."""
        try:
            if isinstance(token, SoftPromptError):
                raise token
            return self._taken(seat, token)
        except SoftPromptError as error:
            seat.work.ticket.put(error)
            return True

    def _taken(self, seat: _Seat, token: int) -> bool:
        """Notes a row's new token; returns whether its answer is whole.

        Raises:
            UsageError: its constraint cannot be followed.
        """
        work, seat.next = seat.work, token
        follower = work.chooser.follower if work.chooser else None
        if token in self._backbone.ends:
            if follower is not None:
                follower.end()
            return self._finish(seat, "stop")
        seat.count += 1
        piece = seat.text.add(token)
        whole = seat.text.stopped
        if follower is not None:
            whole |= follower.take(token)
        if piece:
            work.ticket.put(Piece(piece, seat.count - seat.given))
            seat.given = seat.count
        if whole:
            return self._finish(seat, "stop")
        return self._finish(seat, "length") if seat.count >= work.most else False

    def _finish(self, seat: _Seat, reason: Literal["stop", "length"]) -> bool:
        work = seat.work
        rest = seat.text.end()
        if rest:
            work.ticket.put(Piece(rest, seat.count - seat.given))
        answer = Answer(
            text=seat.text.text,
            finish=reason,
            prompt=work.prompt,
            probabilities={},
            prompt_tokens=work.tokens,
            completion_tokens=seat.count,
            cached_tokens=seat.cached,
        )
        work.ticket.put(answer)
        return True

    def _leave(self, number: int) -> None:
        self._batch.leave(number)
        self._seats[number] = self._seats[-1]
        self._seats.pop()
