"""One frozen decoder layer: normalise, attend, add; normalise, gated feed-forward, add.

    y = x + Wo attention(rotate(Wq n1(x)), rotate(Wk n1(x)), Wv n1(x))
    z = y + Wd (silu(Wg n2(y)) * (Wu n2(y)))

`forward` says what `backward` needs again; the gradient of x is all that is worked out. Projections
that read the same input are one product: their weights are laid beside each other, and the model's
own modules keep views of them, so no weight is there twice.

Shapes: B contexts, K rows that continue each with N new positions, M = B * K * N, U of them wanted,
S tokens that a row may see, D hidden size, H heads, J key-value heads, G = H / J, d head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import silu

from softprompt.backbones.fused.attention import Parts, attend, attend_backward
from softprompt.backbones.fused.norm import Norm, rotate
from softprompt.backbones.fused.product import Product

__all__ = ["Layer", "Surroundings"]

_LAYER = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
_ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
_HEAD_NORMS = {"q_norm", "k_norm"}
_JOINED = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("mlp.gate_proj", "mlp.up_proj"),
)
_SHORT = 4
"""How many times shorter than the new positions a context is that is copied before them."""
_FEED_FORWARD = {"gate_proj", "up_proj", "down_proj", "act_fn"}


@dataclass(frozen=True)
class Surroundings:
    """What stands around the new positions of one pass.

    Args:
        count, new: B and N.
        cos_M1h, sin_M1h: of the positions, with h = d / 2.
        contexts: keys and values of each layer; empty where there are none.
        mask_B1K1NS: by sliding window, what is added to scores.
        wanted_U: which of the M positions are asked for after the last layer; None for all.
        beside: keys and values [L, R, J, Q, d] before the new positions; None where there are none.
        parts: that attention goes in; none where all positions go at once.
    """

    count: int
    new: int
    cos_M1h: Tensor
    sin_M1h: Tensor
    contexts: tuple[tuple[Tensor, Tensor], ...]
    mask_B1K1NS: dict[int | None, Tensor]
    wanted_U: Tensor | None
    beside: tuple[Tensor, Tensor] | None = None
    parts: Parts = ()

    @property
    def copied(self) -> int:
        """Context tokens whose keys and values are copied before those of the new positions.

        On a processor, of a short context before long rows: weights in one piece are worth more
        than the copy.
        """
        tokens = self.contexts[0][0].shape[2] if self.contexts else 0
        on_cpu = self.cos_M1h.device.type == "cpu"
        return tokens if on_cpu and tokens * _SHORT <= self.new else 0


class Kept(NamedTuple):
    """What the gradient of one layer needs again (see `Layer.forward`)."""

    x: Tensor
    r1: Tensor
    heads: Tensor | None
    r_query: Tensor | None
    r_key: Tensor | None
    query: Tensor
    key: Tensor
    value: Tensor
    weights: Tensor
    y: Tensor
    r2: Tensor
    gate_up: Tensor
    active: Tensor


class Layer:
    """A frozen layer of the Llama family.

    Args:
        module: the layer of the model; `fits` says whether it has the right structure.
        index: its place.
        window: its sliding window in tokens; None for full attention.
        packed: whether its weights are kept rearranged too (see `Product`).
    """

    def __init__(self, module: Any, index: int, window: int | None, packed: bool) -> None:
        attention, mlp = module.self_attn, module.mlp
        self.index, self.window = index, window
        self.size: int = attention.head_dim
        self.scaling: float = attention.scaling
        self.heads = attention.q_proj.out_features // self.size
        self.groups = attention.k_proj.out_features // self.size
        self.before = _norm(module.input_layernorm)
        self.after = _norm(module.post_attention_layernorm)
        norms = [getattr(attention, name, None) for name in ("q_norm", "k_norm")]
        self.head_norms = tuple(_norm(norm) for norm in norms if norm is not None)
        reading = _together([attention.q_proj, attention.k_proj, attention.v_proj])
        self.read = Product(*reading, packed)
        self.write = Product(attention.o_proj.weight, attention.o_proj.bias, packed)
        self.widen = Product(*_together([mlp.gate_proj, mlp.up_proj]), packed)
        self.narrow = Product(mlp.down_proj.weight, mlp.down_proj.bias, packed)

    @staticmethod
    def fits(module: Any) -> bool:
        """Whether a layer of a model has this structure, with plain frozen weights in one place."""
        children = {name for name, _ in module.named_children()}
        if children != _LAYER:
            return False
        attention = {name for name, _ in module.self_attn.named_children()}
        mlp = {name for name, _ in module.mlp.named_children()}
        linears = [
            getattr(part, name)
            for part, names in ((module.self_attn, attention), (module.mlp, mlp))
            for name in names - _HEAD_NORMS - {"act_fn"}
        ]
        norms = [part for part in module.modules() if _is_norm(part)]
        parameters = list(module.parameters())
        return (
            attention - _HEAD_NORMS == _ATTENTION
            and (not attention & _HEAD_NORMS or attention >= _HEAD_NORMS)
            and mlp == _FEED_FORWARD
            and type(module.mlp.act_fn).__name__ in ("SiLU", "SiLUActivation")
            and all(type(part) is torch.nn.Linear for part in linears)
            and hasattr(module.self_attn, "scaling")
            and hasattr(module.self_attn, "head_dim")
            and all(hasattr(norm, "variance_epsilon") for norm in norms)
            and all(_same_biases(module, names) for names in _JOINED)
            and not any(hasattr(part, "_hf_hook") for part in module.modules())
            and len({(p.device, p.dtype) for p in parameters}) == 1
            and parameters[0].device.type != "meta"
            and not any(p.requires_grad for p in parameters)
        )

    def forward(self, x_MD: Tensor, around: Surroundings, last: bool) -> tuple[Tensor, Kept]:
        """What comes out, [M, D] ([U, D] of the last layer), and what the gradient needs.

        Args:
            x_MD: what comes in.
            around: of this pass.
            last: whether only the wanted positions are asked for.
        """
        normed, r1 = self.before.forward(x_MD)
        projected = self.read.forward(normed)
        turned = (self.heads + self.groups) * self.size
        heads = projected[:, :turned].view(len(x_MD), -1, self.size)
        heads_before = r_query = r_key = None
        if self.head_norms:
            heads_before = heads
            heads, r_query, r_key = self._normed_heads(heads)
        result = torch.empty(heads.shape, dtype=heads.dtype, device=heads.device)
        heads = rotate(heads, around.cos_M1h, around.sin_M1h, result)
        query_BJKGNd = self._by_group(heads[:, : self.heads], around)
        query = query_BJKGNd.new_empty(query_BJKGNd.shape)
        torch.mul(query_BJKGNd, self.scaling, out=query)
        key = self._by_group(heads[:, self.heads :], around).contiguous()
        value = projected[:, turned:].view(len(x_MD), -1, self.size)
        value = self._by_group(value, around).contiguous()
        context, mask = self._context(around), around.mask_B1K1NS[self.window]
        query, key, value = (x.flatten(3, 4) for x in (query, key, value))
        if around.beside is not None:
            key, value = self._after_beside(around.beside, key, value)
        if context is not None and around.copied:
            key, value = _after_context(context, key, value)
            context = None
        read, weights = attend(query, key, value, context, mask, around.parts)
        read_MD = self._by_position(read, around).reshape(len(x_MD), -1)
        kept_x = x_MD
        if last and around.wanted_U is not None:
            read_MD, x_MD = read_MD[around.wanted_U], x_MD[around.wanted_U]
        y = self.write.added(read_MD, x_MD)
        normed, r2 = self.after.forward(y)
        gate_up = self.widen.forward(normed)
        gate, up = gate_up.chunk(2, -1)
        active = silu(gate)
        z = self.narrow.added(active * up, y)
        norms = (kept_x, r1, heads_before, r_query, r_key)
        return z, Kept(*norms, query, key, value, weights, y, r2, gate_up, active)

    def _after_beside(
        self, beside: tuple[Tensor, Tensor], key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Keys and values [B, J, K, Q + N, d] of what is beside and of the new positions."""
        count, _, times = key.shape[:3]
        found = []
        for other_LRJQd, own in zip(beside, (key, value), strict=True):
            other_RJQd = other_LRJQd[self.index]
            other = other_RJQd.view(count, times, *other_RJQd.shape[1:]).transpose(1, 2)
            found.append(torch.cat([other.to(own.dtype), own], 3))
        return found[0], found[1]

    def backward(
        self,
        gradient: Tensor,
        kept: Kept,
        around: Surroundings,
        last: bool,
        by_beside: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """The gradient [M, D] of what came in, in fp32, like `gradient`.

        Args:
            gradient: of what came out.
            kept, around, last: of the forward pass.
            by_beside: where the gradients of what is beside are written, shaped like it.
        """
        dtype = kept.x.dtype
        by_product = self.narrow.backward(gradient.to(dtype))
        gate, up = kept.gate_up.chunk(2, -1)
        by_gate_up = torch.empty_like(kept.gate_up)
        by_gate, by_up = by_gate_up.chunk(2, -1)
        torch.mul(by_product, kept.active, out=by_up)
        torch.ops.aten.silu_backward.grad_input(by_product.mul_(up), gate, grad_input=by_gate)
        by_normed = self.widen.backward(by_gate_up)
        by_y = gradient + self.after.backward(by_normed, kept.y, kept.r2)
        by_read = self.write.backward(by_y.to(dtype))
        if last and around.wanted_U is not None:
            by_read = _spread(by_read, around.wanted_U, len(kept.x))
            by_y = _spread(by_y, around.wanted_U, len(kept.x))
        by_read = self._by_group(by_read.view(len(by_read), -1, self.size), around)
        by_query, by_key, by_value = attend_backward(
            by_read.contiguous().flatten(3, 4),
            kept.query,
            kept.key,
            kept.value,
            kept.weights,
            None if around.copied else self._context(around),
            around.parts,
        )
        by_key, by_value = (x[:, :, :, around.copied :] for x in (by_key, by_value))
        if by_beside is not None:
            between = by_key.shape[3] - around.new
            for by_other, by_own in zip(by_beside, (by_key, by_value), strict=True):
                by_other[self.index] = by_own[:, :, :, :between].transpose(1, 2).flatten(0, 1)
            by_key, by_value = (x[:, :, :, between:] for x in (by_key, by_value))
        by_projected = self._by_projected(by_query, by_key, by_value, kept, around)
        by_normed = self.read.backward(by_projected)
        return by_y + self.before.backward(by_normed, kept.x, kept.r1)

    def _by_projected(
        self, by_query: Tensor, by_key: Tensor, by_value: Tensor, kept: Kept, around: Surroundings
    ) -> Tensor:
        """The gradient of what the read product gave, from those of scaled queries and so on."""
        count, turned = len(kept.x), (self.heads + self.groups) * self.size
        result = kept.x.new_empty(count, len(self.read.weight_OI))
        by_heads = kept.x.new_empty(count, self.heads + self.groups, self.size)
        query, key = self._query_key(by_heads)
        placed = self._by_position(by_query, around)
        torch.mul(placed, self.scaling, out=query.view(placed.shape))
        placed = self._by_position(by_key, around)
        key.view(placed.shape).copy_(placed)
        placed = self._by_position(by_value, around)
        result[:, turned:].view(placed.shape).copy_(placed)
        turned_back = result[:, :turned].view(by_heads.shape)
        rotate(by_heads, around.cos_M1h, around.sin_M1h, turned_back, back=True)
        if kept.heads is not None:
            turned_back.copy_(self._heads_backward(turned_back, kept))
        return result

    def _context(self, around: Surroundings) -> tuple[Tensor, Tensor] | None:
        return around.contexts[self.index] if around.contexts else None

    def _normed_heads(self, heads_MHd: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (query, r_query), (key, r_key) = (
            norm.forward(part)
            for norm, part in zip(self.head_norms, self._query_key(heads_MHd), strict=True)
        )
        return torch.cat([query, key], 1), r_query, r_key

    def _heads_backward(self, by_heads_MHd: Tensor, kept: Kept) -> Tensor:
        assert kept.heads is not None and kept.r_query is not None and kept.r_key is not None
        parts = zip(
            self.head_norms,
            self._query_key(by_heads_MHd),
            self._query_key(kept.heads),
            (kept.r_query, kept.r_key),
            strict=True,
        )
        return torch.cat([norm.backward(*rest) for norm, *rest in parts], 1).to(by_heads_MHd.dtype)

    def _query_key(self, heads_MHd: Tensor) -> tuple[Tensor, Tensor]:
        return heads_MHd[:, : self.heads], heads_MHd[:, self.heads :]

    def _by_group(self, heads_MHd: Tensor, around: Surroundings) -> Tensor:
        """A view [B, J, K, G, N, d] of heads at positions; G is 1 for keys and values."""
        heads = heads_MHd.view(
            around.count, -1, around.new, self.groups, heads_MHd.shape[1] // self.groups, self.size
        )
        return heads.permute(0, 3, 1, 4, 2, 5)

    def _by_position(self, grouped_BJKMd: Tensor, around: Surroundings) -> Tensor:
        """A view [B, K, N, J, G, d] of what is given by group."""
        heads = grouped_BJKMd.reshape(*grouped_BJKMd.shape[:3], -1, around.new, self.size)
        return heads.permute(0, 2, 4, 1, 3, 5)


def _after_context(
    context: tuple[Tensor, Tensor], key: Tensor, value: Tensor
) -> tuple[Tensor, Tensor]:
    """Keys and values [B, J, K, T + N, d] of the contexts and of what continues them."""
    first, second = (
        torch.cat([of_context[:, :, None].expand(-1, -1, own.shape[2], -1, -1), own], 3)
        for of_context, own in zip(context, (key, value), strict=True)
    )
    return first, second


def _is_norm(module: Any) -> bool:
    return "Norm" in type(module).__name__


def _same_biases(module: Any, names: Sequence[str]) -> bool:
    """Whether linear layers all have a bias or all have none."""
    return len({module.get_submodule(name).bias is None for name in names}) == 1


def _norm(module: Any) -> Norm:
    return Norm(module.weight, module.variance_epsilon)


def _together(linears: Sequence[Any]) -> tuple[Tensor, Tensor | None]:
    """Weights [sum of outputs, inputs] and biases as one, of which the modules keep views."""
    weight = torch.cat([part.weight for part in linears])
    biases = [part.bias for part in linears]
    bias = torch.cat(biases) if biases[0] is not None else None
    start = 0
    for part in linears:
        end = start + part.out_features
        part.weight.data = weight[start:end]
        if bias is not None:
            part.bias.data = bias[start:end]
        start = end
    return weight, bias


def _spread(values_UD: Tensor, where_U: Tensor, count: int) -> Tensor:
    """[count, D] with zeros where nothing is put."""
    return values_UD.new_zeros(count, values_UD.shape[1]).index_copy_(0, where_U, values_UD)
