"""Everything that goes into one pass through the layers of a stack.

Shapes: M new positions, W places where something is inserted, L layers, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor

from softprompt.backbones.fused.layer import Surroundings

__all__ = ["Inputs"]


class Inputs(NamedTuple):
    """What a pass is a function of, beside the frozen weights.

    Args:
        x: [M, D] what comes into the first layer.
        inserted: [L - 1, W, D] what takes the places of hidden states in deeper layers, or None.
        keys, values: [L, R, J, Q, d] beside the new positions, or None.
        places: [W] of what is inserted, or None.
        around: contexts, masks and positions; what is beside is not in it yet.
    """

    x: Tensor
    inserted: Tensor | None
    keys: Tensor | None
    values: Tensor | None
    places: Tensor | None
    around: Surroundings

    @property
    def differentiable(self) -> tuple[Tensor | None, ...]:
        """What may want a gradient: x, inserted, keys, values."""
        return self.x, self.inserted, self.keys, self.values

    @property
    def tensors(self) -> list[Tensor | None]:
        """All of its tensors, in one order."""
        around = self.around
        flat = [tensor for pair in around.contexts for tensor in pair]
        beside = [around.cos_M1h, around.sin_M1h, around.wanted_U, *around.mask_B1K1NS.values()]
        return [*self.differentiable, self.places, *beside, *flat]

    def over(self, tensors: Sequence[Any]) -> Inputs:
        """The same of other tensors, given in the order of `tensors`."""
        x, inserted, keys, values, places, cos, sin, wanted, *rest = tensors
        windows = list(self.around.mask_B1K1NS)
        masks, flat = rest[: len(windows)], rest[len(windows) :]
        around = replace(
            self.around,
            cos_M1h=cos,
            sin_M1h=sin,
            wanted_U=wanted,
            mask_B1K1NS=dict(zip(windows, masks, strict=True)),
            contexts=tuple(zip(flat[::2], flat[1::2], strict=True)),
        )
        return Inputs(x, inserted, keys, values, places, around)

    @property
    def shapes(self) -> tuple[Any, ...]:
        """What tells passes apart whose operations differ."""
        kinds = tuple(None if t is None else (tuple(t.shape), t.dtype) for t in self.tensors)
        around = self.around
        return (around.count, around.new, tuple(around.parts), tuple(around.mask_B1K1NS), kinds)
