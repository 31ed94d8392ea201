"""All frozen layers of a model as one differentiable operation of their input vectors.

Shapes: R rows of N new positions, M = R * N, U of them wanted, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from softprompt.backbones.context import Context
from softprompt.backbones.free_memory import free_memory_budget
from softprompt.backbones.fused.layer import Kept, Layer, Surroundings
from softprompt.backbones.fused.norm import Norm
from softprompt.backbones.fused.product import packing_helps
from softprompt.backbones.inserted import Inserted

__all__ = ["Stack"]

_BODY = {"embed_tokens", "layers", "norm", "rotary_emb"}

_MEMORY_SHARE = 0.2
"""Of the free memory, what rearranged weights may take."""


class Stack:
    """The layers of a model, with the norm that follows them.

    Args:
        body: a Transformers model without its head; `of` says whether it fits.
        windows: sliding window of each layer in tokens; None for full attention.
    """

    def __init__(self, body: Any, windows: Sequence[int | None]) -> None:
        parameters = list(body.layers.parameters())
        packed = packing_helps(parameters[0]) and _fits_twice(parameters)
        modules = zip(body.layers, windows, strict=True)
        self.layers = [
            Layer(module, index, window, packed) for index, (module, window) in enumerate(modules)
        ]
        self.norm = Norm(body.norm.weight, body.norm.variance_epsilon)
        self._rotary = body.rotary_emb
        self._weights = [(x, x.data_ptr(), x._version) for x in body.parameters()]
        self._parts = [
            (parent._modules, name, part)
            for parent in body.modules()
            for name, part in parent._modules.items()
        ]

    @classmethod
    def of(cls, body: Any, windows: Sequence[int | None]) -> Stack | None:
        """The stack of a model, or None where its layers have another structure."""
        if {name for name, _ in body.named_children()} != _BODY:
            return None
        if not hasattr(body.norm, "variance_epsilon") or not all(map(Layer.fits, body.layers)):
            return None
        return cls(body, windows)

    @property
    def windows(self) -> set[int | None]:
        """Sliding windows of the layers; None for full attention."""
        return {layer.window for layer in self.layers}

    @property
    def intact(self) -> bool:
        """Whether the model's parts and frozen weights are still the ones that were taken in.

        An adapter takes a part's place and leaves the weights as they are.
        """
        return all(parts.get(name) is part for parts, name, part in self._parts) and all(
            x.data_ptr() == place and x._version == version and not x.requires_grad
            for x, place, version in self._weights
        )

    def __call__(
        self,
        context: Context,
        embeds_RND: Tensor,
        position_RN: Tensor,
        mask_R1NS: dict[int | None, Tensor],
        wanted_U: Tensor | None,
        inserted: Inserted | None = None,
    ) -> Tensor:
        """Hidden states after the last norm, [U, D] or [M, D], differentiable in the embeddings.

        Args:
            context: of B rows, R = B * K.
            embeds_RND: [R, N, D].
            position_RN: [R, N], none negative.
            mask_R1NS: by window, [R, 1, N, T + N] added to scores.
            wanted_U: which of the M positions are asked for, none twice; None for all.
            inserted: what comes into the layers after the first.
        """
        rows, new, _ = embeds_RND.shape
        cos, sin = self._rotary(embeds_RND, position_RN)
        half = cos.shape[-1] // 2
        # Some models give the angles of one row where all rows have the same positions.
        cos, sin = (x[..., :half].expand(rows, new, half).reshape(-1, 1, half) for x in (cos, sin))
        around = Surroundings(
            count=context.rows,
            new=new,
            cos_M1h=cos,
            sin_M1h=sin,
            contexts=tuple(zip(context.keys, context.values, strict=True)),
            mask_B1K1NS={
                window: mask.view(context.rows, 1, -1, 1, *mask.shape[2:])
                for window, mask in mask_R1NS.items()
            },
            wanted_U=wanted_U,
        )
        places_W, layers_LWD = (
            (inserted.places_W, inserted.layers_LWD) if inserted else (None, None)
        )
        x = embeds_RND.flatten(0, 1)
        return _Through.apply(x, layers_LWD, places_W, self, around)  # type: ignore[no-any-return, no-untyped-call]


class _Through(torch.autograd.Function):
    """The layers one after the other, and back.

    What is inserted [L - 1, W, D] takes the places of hidden states, which so get no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        inserted: Tensor | None,
        places: Tensor | None,
        stack: Stack,
        around: Surroundings,
    ) -> Tensor:
        wanted = any(ctx.needs_input_grad)
        kept: list[Tensor | None] = []
        for layer in stack.layers:
            if inserted is not None and places is not None and layer.index:
                x = x.index_copy(0, places, inserted[layer.index - 1].to(x.dtype))
            x, needed = layer.forward(x, around, layer is stack.layers[-1])
            if wanted:
                kept += needed
        result, r = stack.norm.forward(x)
        if wanted:
            ctx.stack, ctx.around, ctx.places = stack, around, places
            ctx.inserted_as = None if inserted is None else (inserted.shape, inserted.dtype)
            # By autograd's own means, so that what a pass keeps can be counted, contexts included.
            constants = [tensor for context in around.contexts for tensor in context]
            ctx.save_for_backward(x, r, *kept, *constants)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        stack: Stack = ctx.stack
        x, r, *saved = ctx.saved_tensors
        by_x = stack.norm.backward(gradient, x, r)
        by_inserted = None
        if ctx.inserted_as is not None:
            shape, dtype = ctx.inserted_as
            by_inserted = by_x.new_empty(shape, dtype=dtype)
        width = len(Kept._fields)
        for layer in reversed(stack.layers):
            kept = Kept(*saved[layer.index * width : (layer.index + 1) * width])
            by_x = layer.backward(by_x, kept, ctx.around, layer is stack.layers[-1])
            if by_inserted is not None and layer.index:
                by_inserted[layer.index - 1] = by_x[ctx.places]
                by_x.index_fill_(0, ctx.places, 0.0)
        return by_x.to(x.dtype), by_inserted, None, None, None


def _fits_twice(parameters: Sequence[Tensor]) -> bool:
    size = sum(p.numel() * p.element_size() for p in parameters)
    return 2 * size <= free_memory_budget(_MEMORY_SHARE, parameters[0].device)
