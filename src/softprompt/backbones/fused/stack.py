"""All frozen layers of a model as one differentiable operation of their input vectors.

Shapes: R rows of N new positions, M = R * N, U of them wanted, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from softprompt.backbones.context import Context
from softprompt.backbones.free_memory import free_memory_budget
from softprompt.backbones.fused.attention import parts_of
from softprompt.backbones.fused.inputs import Inputs
from softprompt.backbones.fused.layer import Kept, Layer, Surroundings
from softprompt.backbones.fused.norm import Norm
from softprompt.backbones.fused.product import packing_helps
from softprompt.backbones.fused.replay import CudaRecorder, Replays
from softprompt.backbones.passing import Pass

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
        device = parameters[0].device
        self._replays = Replays(self, CudaRecorder(device)) if device.type == "cuda" else None
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

    def __call__(self, context: Context, step: Pass, mask_R1NS: dict[int | None, Tensor]) -> Tensor:
        """Hidden states after the last norm, [U, D] or [M, D], differentiable in what enters.

        Args:
            context: of B rows, R = B * K.
            step: what continues it.
            mask_R1NS: by window, [R, 1, N, T + Q + N] added to scores.
        """
        embeds_RND, inserted, beside = step.embeds_RND, step.inserted, step.beside
        rows, new, _ = embeds_RND.shape
        cos, sin = self._rotary(embeds_RND, step.position_RN.clamp(min=0))
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
            wanted_U=step.wanted_U,
        )
        # Smaller products pay where starting them costs nothing.
        alone = around.copied == context.width and embeds_RND.device.type == "cpu"
        if alone and (parts := parts_of(new)) and step.ordered:
            around = replace(around, parts=parts)
        places_W, layers_LWD = (
            (inserted.places_W, inserted.layers_LWD) if inserted else (None, None)
        )
        keys, values = (
            (torch.stack(beside.keys), torch.stack(beside.values)) if beside else (None, None)
        )
        x = embeds_RND.flatten(0, 1)
        inputs = Inputs(x, layers_LWD, keys, values, places_W, around)
        result = self._replays(inputs) if self._replays is not None else None
        if result is not None:
            return result
        return _Through.apply(*inputs.differentiable, self, inputs)  # type: ignore[no-any-return, no-untyped-call]

    def forward(self, inputs: Inputs, keep: bool) -> tuple[Tensor, list[Tensor | None]]:
        """The hidden states, and what the gradient needs again: of the norm, then of each layer.

        Args:
            inputs: all that goes in.
            keep: whether a gradient is wanted.
        """
        x, inserted, keys, values, places, around = inputs
        if keys is not None and values is not None:
            around = replace(around, beside=(keys, values))
        kept: list[Tensor | None] = []
        for layer in self.layers:
            if inserted is not None and places is not None and layer.index:
                x = x.index_copy(0, places, inserted[layer.index - 1].to(x.dtype))
            x, needed = layer.forward(x, around, layer is self.layers[-1])
            if keep:
                kept += needed
        result, r = self.norm.forward(x)
        return result, [x, r, *kept] if keep else []

    def backward(
        self, gradient: Tensor, inputs: Inputs, kept: Sequence[Tensor | None]
    ) -> tuple[Tensor | None, ...]:
        """The gradients of what is differentiable in the inputs.

        What is inserted takes the places of hidden states, which so get no gradient.
        """
        x, r, *saved = kept
        assert x is not None and r is not None
        places = inputs.places
        by_x = self.norm.backward(gradient, x, r)
        by_inserted, by_keys, by_values = (
            None if t is None else by_x.new_empty(t.shape, dtype=t.dtype)
            for t in inputs.differentiable[1:]
        )
        by_beside = None if by_keys is None or by_values is None else (by_keys, by_values)
        width = len(Kept._fields)
        for layer in reversed(self.layers):
            needed = Kept(*saved[layer.index * width : (layer.index + 1) * width])  # type: ignore[arg-type]
            last = layer is self.layers[-1]
            by_x = layer.backward(by_x, needed, inputs.around, last, by_beside)
            if by_inserted is not None and places is not None and layer.index:
                by_inserted[layer.index - 1] = by_x[places]
                by_x.index_fill_(0, places, 0.0)
        return by_x.to(inputs.x.dtype), by_inserted, by_keys, by_values


class _Through(torch.autograd.Function):
    """The layers one after the other, and back."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        inserted: Tensor | None,
        keys: Tensor | None,
        values: Tensor | None,
        stack: Stack,
        inputs: Inputs,
    ) -> Tensor:
        wanted = any(ctx.needs_input_grad)
        result, kept = stack.forward(inputs, wanted)
        if wanted:
            # What goes in is in what the layers keep; only its form is wanted again.
            given = {"x": x, "inserted": inserted, "keys": keys, "values": values}
            forms: dict[str, Any] = {
                name: t.to("meta") for name, t in given.items() if t is not None
            }
            ctx.stack, ctx.inputs = stack, inputs._replace(**forms)
            # By autograd's own means, so that what a pass keeps can be counted, contexts included.
            constants = [tensor for pair in inputs.around.contexts for tensor in pair]
            ctx.save_for_backward(*kept, *constants)
            ctx.count = len(kept)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        kept = ctx.saved_tensors[: ctx.count]
        return (*ctx.stack.backward(gradient, ctx.inputs, kept), None, None)


def _fits_twice(parameters: Sequence[Tensor]) -> bool:
    size = sum(p.numel() * p.element_size() for p in parameters)
    return 2 * size <= free_memory_budget(_MEMORY_SHARE, parameters[0].device)
