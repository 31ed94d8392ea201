"""Attention of new positions to shared contexts and to each other, with its gradient written out.

    W = softmax([ Q Kc' | Q K' ] + mask),  O = W [ Vc ; V ]
    dV = W' dO,  dS = W * (dW - sum(dW * W)),  dW = dO [ Vc ; V ]'
    dQ = dS [ Kc ; K ],  dK = dS' Q

The contexts' keys and values are constants that are read where they lie. Queries come scaled.

Shapes: B contexts, K rows that continue each, J key-value heads with G query heads each, N new
positions, M = G * N, T context tokens, S = T + N, d head size. Rows of one context lie side by side
within a head, so that all of them read it in one product.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["attend", "attend_backward"]


def attend(
    query_BJKMd: Tensor,
    key_BJKNd: Tensor,
    value_BJKNd: Tensor,
    context: tuple[Tensor, Tensor] | None,
    mask_B1K1NS: Tensor,
) -> tuple[Tensor, Tensor]:
    """[B, J, K, M, d] what the new positions read, and the weights [B, J, K, M, S].

    Args:
        query_BJKMd: of the new positions.
        key_BJKNd, value_BJKNd: of the new positions; others may stand before them.
        context: keys and values [B, J, T, d] of the contexts; None where there are none.
        mask_B1K1NS: added to scores.
    """
    scores = _beside(
        query_BJKMd @ key_BJKNd.transpose(-1, -2),
        _over(query_BJKMd) @ context[0].transpose(-1, -2) if context else None,
    )
    seen = scores.shape[-1]
    before = seen - key_BJKNd.shape[3]
    scores.view(*scores.shape[:3], -1, mask_B1K1NS.shape[-2], seen).add_(mask_B1K1NS)
    weights = scores.softmax(-1)
    output = weights[..., before:] @ value_BJKNd
    if context:
        output += (_over(weights[..., :before]) @ context[1]).view(output.shape)
    return output, weights


def attend_backward(
    gradient_BJKMd: Tensor,
    query_BJKMd: Tensor,
    key_BJKNd: Tensor,
    value_BJKNd: Tensor,
    weights_BJKMS: Tensor,
    context: tuple[Tensor, Tensor] | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the queries, and of the keys and values of the new positions."""
    weights = weights_BJKMS
    before = weights.shape[-1] - key_BJKNd.shape[3]
    by_weights = _beside(
        gradient_BJKMd @ value_BJKNd.transpose(-1, -2),
        _over(gradient_BJKMd) @ context[1].transpose(-1, -2) if context else None,
    )
    by_scores = torch.ops.aten._softmax_backward_data(by_weights, weights, -1, weights.dtype)
    own = by_scores[..., before:]
    by_query = own @ key_BJKNd
    if context:
        by_query += (_over(by_scores[..., :before]) @ context[0]).view(by_query.shape)
    by_key = own.transpose(-1, -2) @ query_BJKMd
    by_value = weights[..., before:].transpose(-1, -2) @ gradient_BJKMd
    return by_query, by_key, by_value


def _over(rows_BJKMx: Tensor) -> Tensor:
    """[B, J, K * M, x]: the rows of one context as one."""
    contexts, groups, _, _, last = rows_BJKMx.shape
    return rows_BJKMx.reshape(contexts, groups, -1, last)


def _beside(own_BJKMN: Tensor, over_BJLT: Tensor | None) -> Tensor:
    """[B, J, K, M, T + N], with L = K * M."""
    if over_BJLT is None:
        return own_BJKMN
    return torch.cat([over_BJLT.view(*own_BJKMN.shape[:4], -1), own_BJKMN], -1)
