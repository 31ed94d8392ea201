"""Attention of new positions to shared contexts and to each other, with its gradient written out.

    W = softmax([ Q Kc' | Q K' ] + mask),  O = W [ Vc ; V ]
    dV = W' dO,  dS = W * (dW - sum(dW * W)),  dW = dO [ Vc ; V ]'
    dQ = dS [ Kc ; K ],  dK = dS' Q

The contexts' keys and values are constants that are read where they lie. Queries come scaled.

Shapes: B contexts, R rows that continue them (R / B each), J key-value heads with G query heads
each, N new positions, M = G * N, T context tokens, S = T + N, d head size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from softprompt.backbones.shared_context import over_contexts, over_rows

__all__ = ["Attended", "attend", "attend_backward"]


@dataclass(frozen=True)
class Attended:
    """What the gradient needs again.

    Args:
        query_RJMd, key_RJNd, value_RJNd: of the new positions.
        weights_RJMS: after the softmax.
        context: keys and values [B, J, T, d] of the contexts; None where there are none.
    """

    query_RJMd: Tensor
    key_RJNd: Tensor
    value_RJNd: Tensor
    weights_RJMS: Tensor
    context: tuple[Tensor, Tensor] | None


def attend(
    query_RJMd: Tensor,
    key_RJNd: Tensor,
    value_RJNd: Tensor,
    context: tuple[Tensor, Tensor] | None,
    mask_R11NS: Tensor,
) -> tuple[Tensor, Attended]:
    """[R, J, M, d] what the new positions read, and what the gradient needs."""
    rows, groups, middle, _ = query_RJMd.shape
    scores = query_RJMd @ key_RJNd.transpose(-1, -2)
    if context is not None:
        contexts = context[0].shape[0]
        over = over_contexts(query_RJMd, contexts) @ context[0].transpose(-1, -2)
        scores = torch.cat([over_rows(over, rows), scores], -1)
    new, seen = key_RJNd.shape[2], scores.shape[-1]
    scores.view(rows, groups, middle // new, new, seen).add_(mask_R11NS)
    weights = scores.softmax(-1)
    output = weights[..., seen - new :] @ value_RJNd
    if context is not None:
        beside = over_contexts(weights[..., : seen - new], contexts) @ context[1]
        output += over_rows(beside, rows)
    return output, Attended(query_RJMd, key_RJNd, value_RJNd, weights, context)


def attend_backward(gradient_RJMd: Tensor, kept: Attended) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the queries, and of the keys and values of the new positions."""
    rows, new = gradient_RJMd.shape[0], kept.key_RJNd.shape[2]
    weights = kept.weights_RJMS
    before = weights.shape[-1] - new
    by_weights = gradient_RJMd @ kept.value_RJNd.transpose(-1, -2)
    if kept.context is not None:
        keys, values = kept.context
        over = over_contexts(gradient_RJMd, keys.shape[0]) @ values.transpose(-1, -2)
        by_weights = torch.cat([over_rows(over, rows), by_weights], -1)
    by_scores = torch.ops.aten._softmax_backward_data(by_weights, weights, -1, weights.dtype)
    own = by_scores[..., before:]
    by_query = own @ kept.key_RJNd
    if kept.context is not None:
        beside = over_contexts(by_scores[..., :before], keys.shape[0]) @ keys
        by_query += over_rows(beside, rows)
    by_key = own.transpose(-1, -2) @ kept.query_RJMd
    by_value = weights[..., before:].transpose(-1, -2) @ gradient_RJMd
    return by_query, by_key, by_value
