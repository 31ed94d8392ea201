"""One pass of new positions over cached contexts, and what follows for masks and caches.

Shapes: B contexts, K rows of each, R = B * K rows, T context tokens, Q keys beside, N new
positions, U of them wanted, D hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from softprompt.backbones.beside import Beside
from softprompt.backbones.context import Context
from softprompt.backbones.inserted import Inserted
from softprompt.backbones.mask import attention_mask

__all__ = ["Pass"]


@dataclass(frozen=True)
class Pass:
    """What continues contexts; row r continues context r // K (see `Backbone.continue_from`).

    Args:
        embeds_RND: embedded tokens and prompt vectors.
        position_RN: position in the sequence; -1 for padding.
        branch_RN: 0 for the trunk.
        wanted_U: flat places asked for; all where absent.
        inserted: what comes into the layers after the first.
        beside: keys and values before the new positions.
    """

    embeds_RND: Tensor
    position_RN: Tensor
    branch_RN: Tensor
    wanted_U: Tensor | None = None
    inserted: Inserted | None = None
    beside: Beside | None = None

    @property
    def new(self) -> int:
        """N."""
        return int(self.embeds_RND.shape[1])

    @property
    def ordered(self) -> bool:
        """Whether no position sees one of a later place: its own branch's earlier ones and the
        trunk's stand before it.

        Padding sees nothing and is seen by nobody.
        """
        place_RN = self.branch_RN * (int(self.position_RN.max()) + 1) + self.position_RN
        place_RN = torch.where(self.position_RN >= 0, place_RN, -1)
        highest_RN = place_RN.cummax(1).values[:, :-1]
        later_RN = place_RN[:, 1:]
        return bool(((later_RN < 0) | (later_RN > highest_RN)).all())

    def mask(self, context: Context | None, window: int | None) -> Tensor:
        """[R, 1, N, T + Q + N] what a layer with that window adds to scores.

        Args:
            context: whose tokens stand first; None leaves them out (T = 0).
            window: in tokens; None for full attention.
        """
        rows, device = len(self.position_RN), self.position_RN.device
        context = context or Context.empty(rows, device)
        return attention_mask(
            context.lengths_B.repeat_interleave(rows // context.rows),
            context.width,
            self.position_RN,
            self.branch_RN,
            self.embeds_RND.dtype,
            window,
            self.beside.position_RQ if self.beside else None,
        )

    def cache(self, context: Context) -> DynamicCache:
        """Copies of the contexts' keys and values for every row, then those beside."""
        cache = DynamicCache()
        context = context.repeated(len(self.embeds_RND) // context.rows)
        parts = [(context.keys, context.values)]
        if self.beside is not None:
            parts.append((self.beside.keys, self.beside.values))
        for keys, values in parts:
            for layer, (some, other) in enumerate(zip(keys, values, strict=True)):
                cache.update(some, other, layer)
        return cache

    def wanted(self, hidden_RND: Tensor) -> Tensor:
        """[U, D] the hidden states asked for."""
        flat = hidden_RND.flatten(0, 1)
        return (
            flat if self.wanted_U is None else flat.index_select(0, self.wanted_U.to(flat.device))
        )
