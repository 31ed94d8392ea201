"""Attention of new positions to shared contexts and to each other, with its gradient written out.

    W = softmax([ Q Kc' | Q K' ] + mask),  O = W [ Vc ; V ]
    dV = W' dO,  dS = W * (dW - sum(dW * W)),  dW = dO [ Vc ; V ]'
    dQ = dS [ Kc ; K ],  dK = dS' Q

The contexts' keys and values are constants that are read where they lie. Queries come scaled.
Where no place sees a later one, a long row goes in parts that read only as far as they see: with
four parts, 5/8 of the products are worked out and 5/8 of the weights kept.

Shapes: B contexts, K rows that continue each, J key-value heads with G query heads each, N new
positions, M = G * N, T context tokens, S = T + N, d head size. Rows of one context lie side by side
within a head, so that all of them read it in one product.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Parts", "attend", "attend_backward", "parts_of"]

Parts = Sequence[tuple[int, int]]
"""First of the new positions of each part, and the one after its last; none where all are one."""

_PLACES = 96
"""Of a part, about; shorter ones make small products."""


def parts_of(new: int) -> Parts:
    """Parts of N positions, as even as can be; none where two would be too short."""
    count = round(new / _PLACES)
    ends = [round(new * part / count) for part in range(1, count + 1)]
    return tuple(zip([0, *ends[:-1]], ends, strict=True)) if count > 1 else ()


def attend(
    query_BJKMd: Tensor,
    key_BJKNd: Tensor,
    value_BJKNd: Tensor,
    context: tuple[Tensor, Tensor] | None,
    mask_B1K1NS: Tensor,
    parts: Parts = (),
) -> tuple[Tensor, Tensor]:
    """[B, J, K, M, d] what the new positions read, and the weights: [B, J, K, M, S], or of parts.

    Args:
        query_BJKMd: of the new positions.
        key_BJKNd, value_BJKNd: of the new positions; others may stand before them.
        context: keys and values [B, J, T, d] of the contexts; None where there are none.
        mask_B1K1NS: added to scores.
        parts: where there is no context and no position sees a later one; the weights of the parts
            then follow each other in one dimension.
    """
    if not parts:
        scores = _scores(query_BJKMd, key_BJKNd, context, mask_B1K1NS)
        weights = scores.softmax(-1)
        before = weights.shape[-1] - key_BJKNd.shape[3]
        output = weights[..., before:] @ value_BJKNd
        if context:
            output += (_over(weights[..., :before]) @ context[1]).view(output.shape)
        return output, weights
    output = torch.empty_like(query_BJKMd)
    new, seen = mask_B1K1NS.shape[-2:]
    weights = query_BJKMd.new_empty(_Part.numbers(query_BJKMd, new, seen, parts))
    for part in _Part.each(query_BJKMd, weights, new, seen, parts):
        key, value = (x[..., : part.reach, :] for x in (key_BJKNd, value_BJKNd))
        mask = mask_B1K1NS[..., part.start : part.end, : part.reach]
        scores = _scores(part.of(query_BJKMd).flatten(3, 4), key, None, mask)
        torch.ops.aten._softmax.out(scores, -1, False, out=part.weights)
        target = part.of(output)
        target.copy_((part.weights @ value).view(target.shape))
    return output, weights


def attend_backward(
    gradient_BJKMd: Tensor,
    query_BJKMd: Tensor,
    key_BJKNd: Tensor,
    value_BJKNd: Tensor,
    weights: Tensor,
    context: tuple[Tensor, Tensor] | None,
    parts: Parts = (),
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the queries, and of the keys and values of the new positions.

    Args:
        gradient_BJKMd: of what was read.
        query_BJKMd, key_BJKNd, value_BJKNd, context, parts: as they were given.
        weights: as they were returned.
    """
    if not parts:
        before = weights.shape[-1] - key_BJKNd.shape[3]
        by_scores = _by_scores(gradient_BJKMd, value_BJKNd, context, weights)
        own = by_scores[..., before:]
        by_query = own @ key_BJKNd
        if context:
            by_query += (_over(by_scores[..., :before]) @ context[0]).view(by_query.shape)
        by_key = own.transpose(-1, -2) @ query_BJKMd
        by_value = weights[..., before:].transpose(-1, -2) @ gradient_BJKMd
        return by_query, by_key, by_value
    by_query, new = torch.empty_like(query_BJKMd), parts[-1][1]
    by_key, by_value = torch.zeros_like(key_BJKNd), torch.zeros_like(value_BJKNd)
    for part in _Part.each(query_BJKMd, weights, new, key_BJKNd.shape[3], parts):
        query, gradient = (part.of(x).flatten(3, 4) for x in (query_BJKMd, gradient_BJKMd))
        key, value = (x[..., : part.reach, :] for x in (key_BJKNd, value_BJKNd))
        by_scores = _by_scores(gradient, value, None, part.weights)
        target = part.of(by_query)
        target.copy_((by_scores @ key).view(target.shape))
        by_key[..., : part.reach, :] += by_scores.transpose(-1, -2) @ query
        by_value[..., : part.reach, :] += part.weights.transpose(-1, -2) @ gradient
    return by_query, by_key, by_value


class _Part(NamedTuple):
    """New positions from `start` to `end`, which see `reach` keys, and the weights of those."""

    start: int
    end: int
    new: int
    reach: int
    weights: Tensor

    @staticmethod
    def numbers(query_BJKMd: Tensor, new: int, seen: int, parts: Parts) -> int:
        """Weights of all parts, where the last sees all S keys."""
        per_position = query_BJKMd[..., 0].numel() // new
        return sum(per_position * (end - start) * (seen - new + end) for start, end in parts)

    @staticmethod
    def each(
        query_BJKMd: Tensor, weights: Tensor, new: int, seen: int, parts: Parts
    ) -> Iterator[_Part]:
        """The parts with views of their weights, which follow each other."""
        *lead, rows, _ = query_BJKMd.shape
        first = 0
        for start, end in parts:
            reach = seen - new + end
            shape = (*lead, rows // new * (end - start), reach)
            last = first + torch.Size(shape).numel()
            yield _Part(start, end, new, reach, weights[first:last].view(shape))
            first = last

    def of(self, rows_BJKMd: Tensor) -> Tensor:
        """A view [B, J, K, G, n, d] of the n positions of this part."""
        by_head = rows_BJKMd.view(*rows_BJKMd.shape[:3], -1, self.new, rows_BJKMd.shape[-1])
        return by_head[..., self.start : self.end, :]


def _scores(
    query_BJKMd: Tensor,
    key_BJKNd: Tensor,
    context: tuple[Tensor, Tensor] | None,
    mask_B1K1NS: Tensor,
) -> Tensor:
    """[B, J, K, M, S] with the mask in them."""
    scores = _beside(
        query_BJKMd @ key_BJKNd.transpose(-1, -2),
        _over(query_BJKMd) @ context[0].transpose(-1, -2) if context else None,
    )
    scores.view(*scores.shape[:3], -1, *mask_B1K1NS.shape[-2:]).add_(mask_B1K1NS)
    return scores


def _by_scores(
    gradient_BJKMd: Tensor,
    value_BJKNd: Tensor,
    context: tuple[Tensor, Tensor] | None,
    weights_BJKMS: Tensor,
) -> Tensor:
    """[B, J, K, M, S] the gradient of the scores from that of what was read."""
    by_weights = _beside(
        gradient_BJKMd @ value_BJKNd.transpose(-1, -2),
        _over(gradient_BJKMd) @ context[1].transpose(-1, -2) if context else None,
    )
    found: Tensor = torch.ops.aten._softmax_backward_data(
        by_weights, weights_BJKMS, -1, weights_BJKMS.dtype
    )
    return found


def _over(rows_BJKMx: Tensor) -> Tensor:
    """[B, J, K * M, x]: the rows of one context as one."""
    contexts, groups, _, _, last = rows_BJKMx.shape
    return rows_BJKMx.reshape(contexts, groups, -1, last)


def _beside(own_BJKMN: Tensor, over_BJLT: Tensor | None) -> Tensor:
    """[B, J, K, M, T + N], with L = K * M."""
    if over_BJLT is None:
        return own_BJKMN
    return torch.cat([over_BJLT.view(*own_BJKMN.shape[:4], -1), own_BJKMN], -1)
