"""The layers of one side of a T5 model, with positions and branches given from outside.

Transformers numbers a row's positions itself, so branches and places beside cannot be said to it.
Here the model's own modules (norms, projections, feed-forward) are called in their order, and only
attention is made anew:

    scores = Q K' + bias(key position - query position) + mask,      out = softmax(scores) V

(Raffel et al. 2020, arXiv 1910.10683, section 2.1: relative biases in buckets, scores not scaled.)
It does not know what the vectors mean, nor which side feeds the other.

Shapes: R rows, N new positions, S = Q + N keys, H heads, d head size, D hidden size, B contexts of
T tokens, K = R / B rows of each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from softprompt.backbones.beside import Beside
from softprompt.backbones.context import Context
from softprompt.backbones.inserted import Inserted
from softprompt.errors import BackboneError
from softprompt.locale import _

__all__ = ["RelativeStack", "StackPass"]


@dataclass(frozen=True)
class StackPass:
    """One pass through the layers.

    Args:
        embeds_RND: embedded tokens and prompt vectors.
        position_RN: of each; -1 for padding.
        mask: [R or 1, 1, N, S] added to scores.
        inserted: what comes into the layers after the first.
        beside: keys and values before the new positions.
        context: that a decoder reads across; None or empty where it reads nothing.
        across: [B, 1, 1, T] added to scores of the context's tokens; None where all are seen.
        keep: gets the keys and values [R, H, N, d] of the new positions, layer by layer.
        inputs: gets what comes into each layer.
    """

    embeds_RND: Tensor
    position_RN: Tensor
    mask: Tensor
    inserted: Inserted | None = None
    beside: Beside | None = None
    context: Context | None = None
    across: Tensor | None = None
    keep: list[tuple[Tensor, Tensor]] | None = None
    inputs: list[Tensor] | None = None


class RelativeStack:
    """An encoder's or a decoder's layers.

    Args:
        stack: of the model, with its `block`s and `final_layer_norm`.
        decoder: whether distances count backwards only.

    Raises:
        BackboneError: the layers are not those of the T5 family.
    """

    def __init__(self, stack: Any, *, decoder: bool) -> None:
        try:
            self.blocks = [list(block.layer) for block in stack.block]
            self._final = stack.final_layer_norm
            self._biases = [
                parts[0].SelfAttention.has_relative_attention_bias for parts in self.blocks
            ]
            self.heads = tuple((a.n_heads, a.key_value_proj_dim) for a in self._attentions())
            usual = all(len(parts) == 2 + decoder for parts in self.blocks) and self._biases[0]
        except (AttributeError, IndexError):
            usual = False
        if not usual:
            raise BackboneError(
                _("The layers of {name} are not those of the T5 family.").format(
                    name=type(stack).__name__
                ),
                _(
                    "Choose T5, mT5, umT5, Flan-T5 or ByT5, or a decoder-only model (`softprompt"
                    " models`)."
                ),
            )
        self._decoder = decoder

    def __len__(self) -> int:
        return len(self.blocks)

    def __call__(self, step: StackPass) -> Tensor:
        """[R, N, D] last hidden states, differentiable in what enters."""
        hidden_RND = step.embeds_RND
        shape = hidden_RND.shape
        bias: Tensor | None = None
        for number, (own, *between, last) in enumerate(self.blocks):
            if step.inputs is not None:
                step.inputs.append(hidden_RND)
            if step.inserted is not None:
                flat = step.inserted.into(number, hidden_RND.flatten(0, 1))
                hidden_RND = flat.view(shape)
            if self._biases[number]:
                bias = self._bias(own.SelfAttention, step).to(hidden_RND.dtype) + step.mask
            assert bias is not None, "the first layer has biases"
            hidden_RND = hidden_RND + self._over_row(own, number, hidden_RND, bias, step)
            for across in between:
                if step.context is not None and step.context.width:
                    hidden_RND = hidden_RND + self._over_context(across, number, hidden_RND, step)
            hidden_RND = last(hidden_RND)
        final_RND: Tensor = self._final(hidden_RND)
        return final_RND

    def keys_across(self, read_BTD: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Keys and values [B, H, T, d] by layer of what a decoder reads across.

        Args:
            read_BTD: last hidden states of the encoder.
        """
        attentions = [parts[1].EncDecAttention for parts in self.blocks]
        return (
            tuple(_by_head(a, a.k(read_BTD)) for a in attentions),
            tuple(_by_head(a, a.v(read_BTD)) for a in attentions),
        )

    def _attentions(self) -> list[Any]:
        return [parts[0].SelfAttention for parts in self.blocks]

    def _over_row(
        self, layer: Any, number: int, hidden_RND: Tensor, bias: Tensor, step: StackPass
    ) -> Tensor:
        """[R, N, D] what attention to the row's own positions adds."""
        attention = layer.SelfAttention
        normed = layer.layer_norm(hidden_RND)
        query, key, value = (
            _by_head(attention, part(normed)) for part in (attention.q, attention.k, attention.v)
        )
        if step.keep is not None:
            step.keep.append((key, value))
        if step.beside is not None:
            key = torch.cat([step.beside.keys[number].to(key), key], 2)
            value = torch.cat([step.beside.values[number].to(value), value], 2)
        return _joined(attention, _attend(query, key, value, bias))

    def _over_context(self, layer: Any, number: int, hidden_RND: Tensor, step: StackPass) -> Tensor:
        """[R, N, D] what attention to the context adds; its rows read it where it lies."""
        assert step.context is not None
        attention, rows = layer.EncDecAttention, step.context.rows
        query = _by_head(attention, attention.q(layer.layer_norm(hidden_RND)))
        _, heads, new, size = query.shape
        together = query.view(rows, -1, heads, new, size).transpose(1, 2).flatten(2, 3)
        key, value = (x[number].to(query) for x in (step.context.keys, step.context.values))
        read = _attend(together, key, value, step.across)
        apart = read.view(rows, heads, -1, new, size).transpose(1, 2).reshape(query.shape)
        return _joined(attention, apart)

    def _bias(self, attention: Any, step: StackPass) -> Tensor:
        """[R or 1, H, N, S] by the distance between positions."""
        query_RN, key_RS = step.position_RN, step.position_RN
        if step.beside is not None:
            key_RS = torch.cat([step.beside.position_RQ, key_RS], 1)
        if bool((key_RS == key_RS[:1]).all()):
            query_RN, key_RS = query_RN[:1], key_RS[:1]
        bucket_RNS = _buckets(
            key_RS[:, None] - query_RN[:, :, None],
            attention.relative_attention_num_buckets,
            attention.relative_attention_max_distance,
            both_ways=not self._decoder,
        )
        return attention.relative_attention_bias(bucket_RNS).permute(0, 3, 1, 2)  # type: ignore[no-any-return]


def _by_head(attention: Any, x_RND: Tensor) -> Tensor:
    """[R, H, N, d]."""
    return x_RND.unflatten(-1, (-1, attention.key_value_proj_dim)).transpose(1, 2)  # type: ignore[no-untyped-call, no-any-return]


def _attend(query: Tensor, key: Tensor, value: Tensor, added: Tensor | None) -> Tensor:
    if added is not None:
        added = added.to(query.dtype).expand(query.shape[0], -1, query.shape[2], -1)
    return scaled_dot_product_attention(query, key, value, attn_mask=added, scale=1.0)


def _joined(attention: Any, read_RHNd: Tensor) -> Tensor:
    return attention.o(read_RHNd.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def _buckets(distance: Tensor, count: int, farthest: int, *, both_ways: bool) -> Tensor:
    """Which bias a distance (key position - query position) has.

    Half of the buckets of a direction hold one distance each, the others ever more, on a
    logarithmic scale up to `farthest`.

    Args:
        distance: whole numbers of any shape.
        count: buckets in all.
        farthest: distance from which on all share the last bucket.
        both_ways: whether half of the buckets are for keys behind the query.
    """
    offset: Tensor | int = 0
    if both_ways:
        count //= 2
        offset = (distance > 0).long() * count
        distance = distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    near = count // 2
    # In this order of operations, and no other, are the borders those that the model learned.
    share = (distance.float() / near).clamp(min=1.0).log() / math.log(farthest / near)
    far = near + (share * (count - near)).long()
    return offset + torch.where(distance < near, distance, far.clamp(max=count - 1))
