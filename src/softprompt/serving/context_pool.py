"""Keys and values of texts that were read lately, found again by their beginning.

What a frozen model computes about a text before any prompt vector is constant, so that another
task, another choice of words after it, or the same question again need not compute it a second
time. Entries are found by the hash of their first whole blocks of tokens, checked token by token,
and the longest unused go first when the budget is spent. It does not know who asks.

Shapes: B rows, T tokens.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor

from softprompt.backbones import Backbone, Context

__all__ = ["LEAST", "ContextPool", "Tokens", "joined", "shared_length"]

BLOCK = 16
"""Tokens of a block: contexts are found again by whole blocks."""

LEAST = 32
"""Contexts of fewer tokens cost less to compute than to look after."""

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class _Entry:
    tokens: Tokens
    context: Context


class ContextPool:
    """Contexts of one backbone.

    Args:
        backbone: that computes them.
        budget: bytes of keys and values to keep; 0 keeps none.

    Attributes:
        hits: tokens found.
        misses: tokens of contexts that were computed.
    """

    def __init__(self, backbone: Backbone, budget: int) -> None:
        self._backbone, self._budget = backbone, budget
        self._entries: OrderedDict[Tokens, _Entry] = OrderedDict()
        self._blocks: dict[bytes, Tokens] = {}
        self._bytes = 0
        self.hits = self.misses = 0

    def find(self, tokens: Tokens) -> Context | None:
        """The longest beginning of `tokens` that is known, as a context of one row, or None."""
        for count, name in reversed(list(_named(tokens))):
            entry = self._entries.get(self._blocks.get(name, ()))
            if entry is None or entry.tokens[:count] != tokens[:count]:
                continue
            self._entries.move_to_end(entry.tokens)
            # Whole blocks are what it was found by; more may be the same.
            shared = shared_length([entry.tokens, tokens])
            self.hits += shared
            return _beginning(entry.context, 0, shared)
        return None

    def keep(self, tokens: Tokens, context: Context, row: int = 0) -> None:
        """Remembers a row of a context; one that is too short or known is left out.

        Args:
            tokens: of the row, from its beginning.
            context: whose row begins with them.
            row: which.
        """
        if len(tokens) < LEAST or self._budget <= 0 or tokens in self._entries:
            return
        # A copy, since the rows beside it would stay in memory with a view.
        kept = _beginning(context, row, len(tokens)).each(torch.clone)
        if kept.bytes > self._budget:
            return
        self._entries[tokens] = _Entry(tokens, kept)
        self._bytes += kept.bytes
        self._blocks.update((name, tokens) for _, name in _named(tokens))
        while self._bytes > self._budget:
            self._drop()

    def compute(self, rows: Sequence[Tokens]) -> Context:
        """The contexts of rows, as one batch; remembered."""
        context = self._backbone.encode_context(rows)
        self.misses += sum(map(len, rows))
        for row, tokens in enumerate(rows):
            self.keep(tokens, context, row)
        return context

    def _drop(self) -> None:
        tokens, entry = self._entries.popitem(last=False)
        self._bytes -= entry.context.bytes
        for _, name in _named(tokens):
            if self._blocks.get(name) == tokens:
                del self._blocks[name]


def _named(tokens: Tokens) -> Iterator[tuple[int, bytes]]:
    """Numbers of tokens in whole blocks, and the name of what begins like that."""
    name = b""
    for end in range(BLOCK, len(tokens) + 1, BLOCK):
        block = torch.tensor(tokens[end - BLOCK : end], dtype=torch.int32).numpy().tobytes()
        name = blake2b(name + block, digest_size=16).digest()
        yield end, name


def _beginning(context: Context, row: int, count: int) -> Context:
    """The first tokens of a row as a context of its own (a view)."""
    lengths_B = torch.full((1,), count, device=context.lengths_B.device)
    return context.each(lambda x: x[row : row + 1, :, :count], lengths_B)


def shared_length(rows: Sequence[Tokens]) -> int:
    """How many first tokens all rows share."""
    first, last = min(rows), max(rows)
    return next(
        (place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
        min(len(first), len(last)),
    )


def joined(contexts: Sequence[Context | None], device: torch.device) -> Context:
    """One context of B rows from contexts of one row each, right-padded; None stands for no tokens.

    Args:
        contexts: as the pool gives them.
        device: where lengths of rows without a context are put.
    """
    found = [context for context in contexts if context is not None and context.width]
    if not found:
        return Context.empty(len(contexts), device)
    if len(found) == len(contexts) == 1:
        return found[0]
    width = max(context.width for context in found)
    lengths_B = torch.cat(
        [
            torch.zeros(1, dtype=torch.long, device=device)
            if context is None
            else context.lengths_B.to(device)
            for context in contexts
        ]
    )

    def stacked(layer: int, name: str) -> Tensor:
        model: Tensor = getattr(found[0], name)[layer]
        whole = model.new_zeros(len(contexts), model.shape[1], width, model.shape[3])
        for row, context in enumerate(contexts):
            if context is not None and context.width:
                whole[row, :, : context.width] = getattr(context, name)[layer][0]
        return whole

    layers = range(len(found[0].keys))
    return Context(
        tuple(stacked(layer, "keys") for layer in layers),
        tuple(stacked(layer, "values") for layer in layers),
        lengths_B,
    )
