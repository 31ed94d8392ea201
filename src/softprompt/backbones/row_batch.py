"""Rows that grow token by token, come and go: their keys and values in one block of memory.

Every row fills its part of the block from the left, one place a position, so that a row joins with
what it has computed and leaves without moving the others' places. What a row gets does not depend
on its neighbours. It does not know how tokens are chosen nor what rows are for.

Shapes: R rows, J key-value heads, S places of the block in use, d head size, D hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import DynamicCache

from softprompt.backbones.context import Context
from softprompt.backbones.passing import Pass

if TYPE_CHECKING:
    from softprompt.backbones.backbone import Backbone

__all__ = ["RowBatch"]

STEP = 64
"""Places that a block grows by at least; a quarter where that is more."""

SPARE = 16_384
"""Places of all rows together up to which room is made before it is needed."""


class RowBatch:
    """Rows side by side.

    Args:
        backbone: that computes.
        rows: to make room for at once; more make the block grow.
    """

    def __init__(self, backbone: Backbone, rows: int = 1) -> None:
        self._backbone = backbone
        self._cache = _Block(rows)

    def __len__(self) -> int:
        return len(self._cache.lengths)

    @property
    def tokens(self) -> int:
        """Positions that all rows have."""
        return sum(self._cache.lengths)

    @torch.no_grad()
    def join(self, context: Context) -> None:
        """Puts rows behind those there are.

        Args:
            context: keys and values of every position of them so far, one tensor per layer.
        """
        self._cache.join(context)

    def leave(self, row: int) -> None:
        """Takes a row out; the last one takes its number."""
        self._cache.leave(row)

    @torch.no_grad()
    def add(self, ids_R: Tensor) -> Tensor:
        """[R, D] the hidden states that predict what follows each row's next token.

        Args:
            ids_R: the next token of every row.
        """
        lengths = self._cache.lengths
        position_R1 = torch.tensor(lengths, device=ids_R.device)[:, None]
        step = _Next(
            self._backbone.embed(ids_R[:, None]),
            position_R1,
            torch.zeros_like(position_R1),
            width=self._cache.open(),
        )
        return self._backbone.over_cache(self._cache, step, None, grouped=True)


@dataclass(frozen=True)
class _Next(Pass):
    """The next position of every row, whose key already has its place in the block."""

    width: int = 0

    def mask(self, context: Context | None, window: int | None) -> Tensor:
        """[R, 1, 1, S] added to scores: a row sees its places up to the new one."""
        assert context is None, "the block holds everything before"
        slots_S = torch.arange(self.width, device=self.position_RN.device)
        seen_RS = slots_S <= self.position_RN
        if window is not None:
            seen_RS &= self.position_RN - slots_S < window
        dtype = self.embeds_RND.dtype
        mask_RS = torch.zeros(seen_RS.shape, dtype=dtype, device=seen_RS.device)
        return mask_RS.masked_fill_(~seen_RS, torch.finfo(dtype).min)[:, None, None]


class _Block(DynamicCache):
    """Keys and values [rows, J, places, d] of each layer, with room for more of both."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self._first_rows = rows
        self.lengths: list[int] = []
        self._parts: list[tuple[Tensor, Tensor]] = []
        self._width = 0

    def join(self, context: Context) -> None:
        first, lengths = len(self.lengths), context.lengths_B.tolist()
        self._reserve(context, first + len(lengths), max(lengths) + 1)
        for (keys, values), key, value in zip(
            self._parts, context.keys, context.values, strict=True
        ):
            for block, part in ((keys, key), (values, value)):
                block[first : first + len(lengths), :, : part.shape[2]] = part
        self.lengths += lengths

    def leave(self, row: int) -> None:
        last = len(self.lengths) - 1
        filled = self.lengths[last]
        for pair in self._parts if last else ():
            for block in pair:
                # Zeros behind a row: what is masked must still be a number.
                block[row, :, :filled] = block[last, :, :filled]
                block[row, :, filled:] = 0
                block[last] = 0
        self.lengths[row] = filled
        self.lengths.pop()
        if not self.lengths:
            self._parts, self._width = [], 0

    def open(self) -> int:
        """Makes room for one more place in every row; returns the width S then."""
        self._width = max(self.lengths) + 1
        keys = self._parts[0][0]
        if keys.shape[2] < self._width:
            self._grow(len(self.lengths), keys.shape[2] + max(STEP, keys.shape[2] // 4))
        self._rows_R = torch.arange(len(self.lengths), device=keys.device)
        self._ends_R = torch.tensor(self.lengths, device=keys.device)
        self.lengths = [length + 1 for length in self.lengths]
        return self._width

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Puts the new keys and values [R, J, 1, d] in place; returns all [R, J, S, d]."""
        found = []
        for block, new in zip(self._parts[layer_idx], (key_states, value_states), strict=True):
            # Layers of a large model may lie on several devices.
            places = self._rows_R.to(block.device), self._ends_R.to(block.device)
            block[places[0], :, places[1]] = new[:, :, 0]
            found.append(block[: len(new), :, : self._width])
        return found[0], found[1]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Places before the new one, of the longest row."""
        return self._width - 1

    def _reserve(self, context: Context, rows: int, places: int) -> None:
        """Makes sure that there are so many rows and places; they are empty at first."""
        if not self._parts:
            self._parts = [
                tuple(x.new_zeros(0, x.shape[1], 0, x.shape[3]) for x in pair)  # type: ignore[misc]
                for pair in zip(context.keys, context.values, strict=True)
            ]
        have_rows, have_places = self._parts[0][0].shape[0], self._parts[0][0].shape[2]
        if rows > have_rows or places > have_places:
            wider = -(-places // STEP) * STEP if places > have_places else have_places
            self._grow(rows, wider)

    def _grow(self, needed: int, places: int) -> None:
        """Room for so many rows, and for more as long as that is little memory."""
        wished = max(self._first_rows, needed + needed // 4)
        rows = max(needed, min(wished, SPARE // places))
        # Layer by layer, so that old and new blocks of only one layer are in memory together.
        for layer, pair in enumerate(self._parts):
            self._parts[layer] = tuple(_larger(block, rows, places) for block in pair)  # type: ignore[assignment]


def _larger(block: Tensor, rows: int, places: int) -> Tensor:
    """The same content with more room; zeros, since what is masked must still be a number."""
    grown = block.new_zeros(rows, block.shape[1], places, block.shape[3])
    kept = min(rows, block.shape[0])
    grown[:kept, :, : block.shape[2]] = block[:kept]
    return grown
