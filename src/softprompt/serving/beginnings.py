"""What is known of rows before their pass: contexts of texts, and prompts that stand first.

Keys and values depend only on what stands before them. So a text before the prompt is constant for
every task, and a prompt before the text is constant for every text: whichever comes first is
computed once and kept. It does not know what rows are for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from softprompt.backbones import Backbone, Context
from softprompt.inference.mixed import MixedRow, ReadyPrompt, first_pass
from softprompt.prompts import Example
from softprompt.serving.context_pool import LEAST, ContextPool, Tokens, joined, shared_length

__all__ = ["Beginnings", "Begun"]

SEEN = 4096
"""Prompts before the text that are remembered as having come."""


@dataclass(frozen=True)
class Begun:
    """A row and what of it is known.

    Args:
        row: whose context is what is known and whose trunk is the rest.
        known: keys and values of one row; None for nothing.
        computed: whether they were computed for this very row.
        added: the last of them that were, where the others were not.
    """

    row: MixedRow
    known: Context | None
    computed: bool = False
    added: int = 0

    @property
    def tokens(self) -> int:
        """Positions known."""
        return len(self.row.example.context)

    @property
    def cached(self) -> int:
        """Of these, those that were not computed for this row."""
        return 0 if self.computed else self.tokens - self.added


class Beginnings:
    """Beginnings of rows of one backbone.

    Args:
        backbone: the frozen model.
        pool: contexts of texts.
        budget: bytes of keys and values of prompts that stand first.
    """

    def __init__(self, backbone: Backbone, pool: ContextPool, budget: int) -> None:
        self._backbone, self.pool, self._budget = backbone, pool, budget
        self._leads: OrderedDict[tuple[ReadyPrompt, Tokens], Context] = OrderedDict()
        self._seen: OrderedDict[tuple[ReadyPrompt, Tokens], None] = OrderedDict()
        self._bytes = 0

    def find(self, rows: Sequence[MixedRow]) -> list[Begun]:
        """What is known of rows.

        A text that all of them begin with is computed if it is not known, and they share it.
        """
        found = [self._known(row) for row in rows]
        long = [n for n, row in enumerate(rows) if len(row.example.context) >= LEAST]
        if len(long) < 2:
            return found
        first = rows[long[0]].example.context
        shared = shared_length([rows[number].example.context for number in long])
        # Rows that know much more of their own do not gain from sharing less.
        if shared < LEAST or max(found[number].tokens for number in long) >= shared + LEAST:
            return found
        known = self.pool.find(first[:shared])
        fresh = known is None or known.width < shared
        if known is None or fresh:
            known = self.pool.compute([first[:shared]])
        for number in long:
            found[number] = _cut(rows[number], known, computed=fresh and number == long[0])
        return found

    def compute(self, rows: Sequence[MixedRow]) -> list[Begun]:
        """The same for rows that leave nothing behind themselves: all that can be kept is computed.

        Rows of one ensemble have the same context, which is computed once.
        """
        found = self.find(rows)
        contexts = dict.fromkeys(
            row.example.context
            for row, begun in zip(rows, found, strict=True)
            if _missing(row, begun)
        )
        known: dict[Tokens, Context] = {}
        if contexts:
            whole = self.pool.compute(list(contexts))
            known = {tokens: whole.select([row]) for row, tokens in enumerate(contexts)}
        fresh = set(known)
        self._compute_leads(
            [row for row, begun in zip(rows, found, strict=True) if not begun.known]
        )
        for number, row in enumerate(rows):
            context = row.example.context
            if context in known:
                found[number] = _cut(row, known[context], computed=context in fresh)
                fresh.discard(context)
            elif found[number].known is None:
                found[number] = self._known(row)
        return self._completed(rows, found)

    def _completed(self, rows: Sequence[MixedRow], found: list[Begun]) -> list[Begun]:
        """The same with all of a context known where a readout reads it; what lacks is added."""
        cut = {
            row.example.context: begun
            for row, begun in zip(rows, found, strict=True)
            if row.whole and 0 < begun.tokens < len(row.example.context)
        }
        if not cut:
            return found
        rests = [
            MixedRow(Example(begun.row.example.context, tokens[begun.tokens :], ()))
            for tokens, begun in cut.items()
        ]
        before = joined([begun.known for begun in cut.values()], self._backbone.device)
        _, whole = first_pass(self._backbone, before, rests)
        completed: dict[Tokens, Context] = {}
        for number, tokens in enumerate(cut):
            self.pool.misses += len(tokens) - cut[tokens].tokens
            self.pool.keep(tokens, whole, number)
            completed[tokens] = whole.select([number])
        for number, row in enumerate(rows):
            tokens, begun = row.example.context, found[number]
            if row.whole and tokens in completed and begun.tokens < len(tokens):
                added = len(tokens) - begun.tokens
                fresh = _cut(row, completed[tokens], computed=begun.computed)
                found[number] = replace(fresh, added=added)
        return found

    def keep(self, row: MixedRow, whole: Context, number: int) -> None:
        """Remembers what a row's pass has computed of its beginning.

        Args:
            row: as it came, nothing of it cut.
            whole: keys and values of every position of it.
            number: of it in `whole`.
        """
        context = row.example.context
        self.pool.keep(context, whole, number)
        count, key = lead_of(row), (row.prompt, context)
        if not count or row.prompt is None or key in self._leads:
            return
        ends = torch.full((1,), count, device=whole.lengths_B.device)
        lead = whole.each(lambda x: x[number : number + 1, :, :count].clone(), ends)
        if lead.bytes > self._budget:
            return
        self._leads[row.prompt, context] = lead
        self._bytes += lead.bytes
        while self._bytes > self._budget:
            _, old = self._leads.popitem(last=False)
            self._bytes -= old.bytes

    def _known(self, row: MixedRow) -> Begun:
        count = lead_of(row)
        lead = None
        if count and row.prompt is not None:
            lead = self._leads.get((row.prompt, row.example.context))
        if lead is not None and row.prompt is not None:
            self._leads.move_to_end((row.prompt, row.example.context))
            self.pool.hits += count
            example = row.example
            rest = example.trunk[count - len(example.context) :]
            # Its tokens count as places; what stood there is in the keys and values.
            return Begun(MixedRow(replace(example, context=(0,) * count, trunk=rest)), lead)
        return _cut(row, self.pool.find(row.example.context))

    def _compute_leads(self, rows: Sequence[MixedRow]) -> None:
        """The leads of prompts that have come before, those that are not known, as one batch.

        A prompt that comes for the first time may never come again, and one that does not fit into
        the budget would be computed in vain.
        """
        wanted: dict[tuple[ReadyPrompt, Tokens], MixedRow] = {}
        for row in rows:
            count, prompt = lead_of(row), row.prompt
            if not count or prompt is None or count * self._backbone.position_bytes > self._budget:
                continue
            key = prompt, row.example.context
            if key in self._seen and key not in self._leads:
                wanted[key] = row
            self._seen[key] = None
            self._seen.move_to_end(key)
            if len(self._seen) > SEEN:
                self._seen.popitem(last=False)
        if not wanted:
            return
        alone = [
            replace(row, example=replace(row.example, trunk=row.example.trunk[:count], answers=()))
            for (prompt, _), row in wanted.items()
            if (count := prompt.length)
        ]
        contexts = [row.example.context for row in alone]
        _, whole = first_pass(self._backbone, self._backbone.encode_context(contexts), alone)
        for number, row in enumerate(wanted.values()):
            self.pool.misses += lead_of(row)
            self.keep(row, whole, number)


def lead_of(row: MixedRow) -> int:
    """Positions up to the end of a prompt that stands first, context included; 0 where none does.

    It stands first where all of its vectors follow a short context (an opening token) and text
    comes after them, more than the one token that may have to predict. Vectors that are not
    computed cost nothing, so they have no lead.
    """
    prompt, example = row.prompt, row.example
    if prompt is None or not prompt.computed or len(example.context) >= LEAST:
        return 0
    whole = tuple(range(-1, -1 - prompt.length, -1))
    if example.trunk[: prompt.length] != whole or len(example.trunk) <= prompt.length + 1:
        return 0
    return len(example.context) + prompt.length


def _cut(row: MixedRow, known: Context | None, *, computed: bool = False) -> Begun:
    """A row of whose context so much is known; the rest of it goes into the trunk."""
    count, example = known.width if known is not None else 0, row.example
    context, rest = example.context[:count], example.context[count:]
    cut = replace(example, context=context, trunk=rest + example.trunk)
    return Begun(replace(row, example=cut), known, computed)


def _missing(row: MixedRow, begun: Begun) -> bool:
    """Whether a row's context is computed before its pass: most of it is not known, and it is long
    enough to be kept or a readout reads it."""
    length = len(row.example.context)
    return (row.whole or length >= LEAST) and 2 * begun.tokens < length
