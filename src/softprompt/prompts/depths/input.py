"""Vectors among the input embeddings: prompt tuning (Lester et al. 2021, arXiv 2104.08691)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from softprompt.prompts.depths import DEPTHS, Entering

if TYPE_CHECKING:
    from softprompt.backbones import Backbone

__all__ = ["Input"]


class Input:
    """One vector [D] at each place of the prompt, in the input sequence and nowhere else.

    In the artifact: `vectors` [P, D], or `slot.0`, `slot.1`, ... of several slots.
    """

    computed = predicts = True
    rate = 1.0

    def check(self, backbone: Backbone) -> None:
        """Every backbone takes embeddings."""

    def width(self, backbone: Backbone) -> int:
        """The hidden size D."""
        return backbone.hidden_size

    def start(self, embeds_PD: Tensor, backbone: Backbone, *, encoder: bool = False) -> Tensor:
        """[P, D] the embeddings themselves."""
        return embeds_PD

    def scale(self, start_PX: Tensor, backbone: Backbone) -> Tensor | None:
        """None: the vectors are embeddings."""
        return None

    def enter(self, vectors_PX: Tensor, backbone: Backbone) -> Entering:
        """The vectors, among the embeddings."""
        return Entering(vectors_PX)

    def tensors(
        self, vectors_PX: Tensor, lengths: Sequence[int], backbone: Backbone
    ) -> dict[str, Tensor]:
        """`vectors`, or one tensor a slot."""
        if len(lengths) == 1:
            return {"vectors": vectors_PX}
        parts = torch.split(vectors_PX, list(lengths))
        return {f"slot.{index}": part for index, part in enumerate(parts)}

    def lengths(self, tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
        """Vectors of each slot."""
        return tuple(len(tensors[name]) for name in self._names(tensors))

    def vectors(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """[P, D] the vectors of all slots, in order."""
        return torch.cat([tensors[name] for name in self._names(tensors)])

    def _names(self, tensors: Mapping[str, Tensor]) -> list[str]:
        return ["vectors"] if len(tensors) == 1 else [f"slot.{i}" for i in range(len(tensors))]


DEPTHS.register("input")(Input())
