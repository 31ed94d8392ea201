"""Rows that grow token by token: a cache of keys and values, and what each next token sees.

Masks and positions are given in full at every step, so rows of any lengths, with padding anywhere
and sliding windows, are exact side by side. It does not know how tokens are chosen.

Shapes: R rows, S positions in the cache, D hidden size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from softprompt.backbones.beside import Beside
from softprompt.backbones.context import Context
from softprompt.backbones.passing import Pass

if TYPE_CHECKING:
    from softprompt.backbones.backbone import Backbone

__all__ = ["Writing"]


class Writing:
    """Rows after their first pass.

    Args:
        backbone: that computes.
        context: of R rows.
        step: the first pass; of its positions those count that are wanted, one for each row.

    Attributes:
        hidden_RD: the hidden state that predicts each row's next token.
    """

    @torch.no_grad()
    def __init__(self, backbone: Backbone, context: Context, step: Pass) -> None:
        self._backbone, self._cache = backbone, backbone.cache(context, step)
        self.hidden_RD = backbone.over_cache(self._cache, step, context)
        context_RT = backbone.places(context)
        between = [step.beside.position_RQ] if step.beside else []
        self._seen_RS = torch.cat([context_RT, *between, step.position_RN], 1)
        self._next_R = self._seen_RS.amax(1) + 1

    @torch.no_grad()
    def add(self, ids_R: Tensor) -> None:
        """Gives each row its next token."""
        # A row that is full goes on beside the others for nothing, at a place that exists.
        position_R1 = self._next_R[:, None].clamp(max=self._backbone.window - 1)
        step = Pass(
            self._backbone.embed(ids_R[:, None]),
            position_R1,
            torch.zeros_like(position_R1),
            beside=Beside((), (), self._seen_RS),
        )
        self.hidden_RD = self._backbone.over_cache(self._cache, step, None)
        self._seen_RS = torch.cat([self._seen_RS, position_R1], 1)
        self._next_R = self._next_R + 1
