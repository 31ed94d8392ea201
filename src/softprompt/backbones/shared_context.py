"""Attention of continued rows to contexts that several of them share, without copying a context.

Transformers calls an attention function by name with the queries, keys and values of the new
positions; the contexts' keys and values come in beside them and are constants: they are neither
joined to the new ones nor given a gradient. This file does not know who continues the contexts, nor
how the model makes queries.

    scores = [ Q Kc' | Q K' ] * scale + mask,   out = softmax(scores) [ Vc ; V ]

Shapes: B contexts, K rows a context, R = B * K rows, N new positions, T context tokens, H heads,
J key-value heads, G = H / J heads of each, d head size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from softprompt.backbones.beside import Beside
from softprompt.backbones.context import Context
from softprompt.backbones.mask import context_mask

__all__ = ["NAME", "SharedContext", "reading_contexts", "register"]

NAME = "softprompt_shared_context"
"""What the attention function is called in a model's configuration."""


@dataclass(frozen=True)
class SharedContext:
    """The contexts of one forward pass.

    Args:
        context: keys and values of B rows; row r of the pass continues context r // K.
        hidden: by sliding window (None: full attention), what is added to scores of context
            tokens: [B, 1, 1, 1, T] or [B, K, 1, N, T]; None where every token is seen.
        beside: keys and values before the new positions, or None.
    """

    context: Context
    hidden: dict[int | None, Tensor | None]
    beside: Beside | None = None

    @classmethod
    def of(
        cls,
        context: Context,
        position_RN: Tensor,
        windows: Iterable[int | None],
        dtype: torch.dtype,
        beside: Beside | None = None,
    ) -> SharedContext:
        """The contexts as layers of every kind see them.

        Args:
            context: of B rows.
            position_RN: [R, N] positions of what continues them.
            windows: sliding window of each kind of layer, None for full attention.
            dtype: of the scores.
            beside: keys and values before the new positions.
        """
        position_BKN = position_RN.view(context.rows, -1, position_RN.shape[1])
        whole = bool((context.lengths_B == context.width).all())
        return cls(
            context,
            {
                window: None
                if whole and window is None
                else context_mask(context.lengths_B, context.width, position_BKN, dtype, window)
                for window in windows
            },
            beside,
        )

    @classmethod
    def none(cls, device: torch.device) -> SharedContext:
        """No contexts: everything that is read comes with the new positions."""
        return cls(Context.empty(1, device), {None: None})

    def mask(self, window: int | None) -> Tensor | None:
        """What a layer with that window adds; a model has one kind of layer or says which."""
        return self.hidden[window] if len(self.hidden) > 1 else next(iter(self.hidden.values()))


@contextmanager
def reading_contexts(model: Any) -> Iterator[None]:
    """Has a model's layers call the attention function of this file."""
    config = model.config.get_text_config()
    usual = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = usual


def register() -> None:
    """Makes the attention function known to Transformers."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, _attention)


def _attention(
    module: Any,
    query_RHNd: Tensor,
    key_RJNd: Tensor,
    value_RJNd: Tensor,
    attention_mask: Tensor,
    *,
    shared_context: SharedContext,
    scaling: float | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention output [R, N, H, d] (see the module's formula).

    Args:
        module: the attention layer; its `layer_idx` says whose keys and values count.
        query_RHNd, key_RJNd, value_RJNd: of the new positions.
        attention_mask: [R, 1, N, Q + N] added to the scores of what is beside and of new positions.
        shared_context: of this forward pass.
        scaling: of the scores; 1 / sqrt(d) where absent.
        softcap: bound of the scores (Gemma 2), where the model has one.
        sliding_window: of this layer, in tokens.
        s_aux: [H] learned scores of no token at all (gpt-oss), where the model has them.
    """
    rows, heads, new, size = query_RHNd.shape
    groups = key_RJNd.shape[1]
    context, beside = shared_context.context, shared_context.beside
    if beside is not None:
        # Layers of a large model may lie on several devices.
        key_RJNd = torch.cat([beside.keys[module.layer_idx].to(key_RJNd), key_RJNd], 2)
        value_RJNd = torch.cat([beside.values[module.layer_idx].to(value_RJNd), value_RJNd], 2)
    nearby = key_RJNd.shape[2]
    queries = query_RHNd * (size**-0.5 if scaling is None else scaling)
    queries = queries.reshape(rows, groups, heads // groups * new, size)
    scores = (queries @ key_RJNd.transpose(-1, -2)).reshape(rows, heads, new, nearby)
    scores = _capped(scores, softcap) + attention_mask
    if context.width:
        keys, values = context.keys[module.layer_idx], context.values[module.layer_idx]
        over = _over_contexts(queries, keys.shape[0]) @ keys.transpose(-1, -2)
        over = _over_rows(over, rows).reshape(rows, heads, new, -1)
        over = _capped(over, softcap)
        hidden = shared_context.mask(sliding_window)
        if hidden is not None:
            by_context = over.view(keys.shape[0], -1, heads, new, context.width)
            over = (by_context + hidden.to(over.device)).view(over.shape)
        scores = torch.cat([over, scores], -1)
    if s_aux is not None:
        sink = s_aux.view(1, -1, 1, 1).expand(rows, -1, new, 1).to(scores.dtype)
        weights = torch.cat([scores, sink], -1).softmax(-1)[..., :-1]
    else:
        weights = scores.softmax(-1)
    own = weights[..., -nearby:].reshape(rows, groups, -1, nearby)
    output = (own @ value_RJNd).reshape(rows, heads, new, -1)
    if context.width:
        seen = weights[..., : context.width].reshape(rows, groups, -1, context.width)
        read = _over_contexts(seen, keys.shape[0]) @ values
        output = output + _over_rows(read, rows).reshape(output.shape)
    return output.transpose(1, 2), None


def _capped(scores: Tensor, softcap: float | None) -> Tensor:
    return scores if softcap is None else torch.tanh(scores / softcap) * softcap


def _over_contexts(rows_RJMx: Tensor, contexts: int) -> Tensor:
    """[B, J, K * M, x]: the rows of one context as one, so that its keys are read once."""
    rows, groups, middle, last = rows_RJMx.shape
    if rows == contexts:
        return rows_RJMx
    together = rows_RJMx.reshape(contexts, -1, groups, middle, last).transpose(1, 2)
    return together.reshape(contexts, groups, -1, last)


def _over_rows(together_BJMx: Tensor, rows: int) -> Tensor:
    """[R, J, M, x]: what `_over_contexts` put together, apart again."""
    contexts, groups, _, last = together_BJMx.shape
    if rows == contexts:
        return together_BJMx
    apart = together_BJMx.reshape(contexts, groups, rows // contexts, -1, last).transpose(1, 2)
    return apart.reshape(rows, groups, -1, last)
