"""How deep the vectors enter: one file a depth.

A depth says which tensors a prompt has and where they enter the backbone (input embeddings, layer
inputs, keys and values). It knows nothing of placement, parametrisation or training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from softprompt.registry import Registry, discover

__all__ = ["DEPTHS", "Depth"]


class Depth(Protocol):
    """What a depth has to say."""

    def names(self, slots: int) -> list[str]:
        """Names of the tensors in the artifact, one per slot."""
        ...

    def embeddings(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """[P, D] what stands at the prompt's places in the input, all slots in order."""
        ...


DEPTHS: Registry[Depth] = Registry("depth")
discover(__name__, list(__path__))
