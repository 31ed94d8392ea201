"""Contexts that grow by a pass: the keys and values of all positions, in their order.

It does not know what is written or cached afterwards.

Shapes: R rows, S keys before compaction, T positions of the longest row, J key-value heads,
d head size, D hidden size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from softprompt.backbones.context import Context
from softprompt.backbones.passing import Pass

if TYPE_CHECKING:
    from softprompt.backbones.backbone import Backbone

__all__ = ["extended"]


@torch.no_grad()
def extended(backbone: Backbone, context: Context, step: Pass) -> tuple[Tensor, Context]:
    """Continues contexts and keeps what the new positions leave behind.

    Args:
        backbone: that computes.
        context: of R rows; not changed.
        step: what comes now; one row continues one context.

    Returns:
        Hidden states [U, D] of the places wanted, and a context that holds the old positions, those
        beside and the new ones, right-padded.
    """
    cache = backbone.cache(context, step)
    hidden_UD = backbone.over_cache(cache, step, context)
    between = [step.beside.position_RQ] if step.beside else []
    seen_RS = torch.cat([backbone.places(context), *between, step.position_RN], 1)
    lengths_R = (seen_RS >= 0).sum(1)
    width = int(lengths_R.max())
    last = torch.iinfo(seen_RS.dtype).max
    order_RT = seen_RS.masked_fill(seen_RS < 0, last).argsort(dim=1, stable=True)[:, :width]

    def compact(part_RJSd: Tensor) -> Tensor:
        index = order_RT.to(part_RJSd.device)[:, None, :, None]
        shape = (-1, part_RJSd.shape[1], -1, part_RJSd.shape[3])
        return part_RJSd.gather(2, index.expand(shape))

    layers: list[Any] = cache.layers
    return hidden_UD, Context(
        tuple(compact(layer.keys) for layer in layers),
        tuple(compact(layer.values) for layer in layers),
        lengths_R,
    )
