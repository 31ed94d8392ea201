"""How the trained numbers make the vectors: one file a parametrisation.

A parametrisation is a module that starts at given vectors and returns vectors; it is folded away
when training ends, so an artifact always holds plain vectors. It knows nothing of placement,
initialisation or the backbone beyond the scale of its embeddings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor, nn

from softprompt.registry import Registry, discover

__all__ = ["PARAMETRISATIONS", "Parametrisation", "Vocabulary"]

Vocabulary = Callable[[int], Tensor]
"""From a number m to m embeddings [m, D] of words, m at most."""


class Parametrisation(Protocol):
    """What a parametrisation has to offer beside being a module."""

    def __call__(self) -> Tensor:
        """[P, D] the vectors as they are now, differentiable."""
        ...

    def groups(self, scale: float) -> list[dict[str, Any]]:
        """Optimiser parameter groups; `factor` multiplies the learning rate.

        Args:
            scale: root mean square of the backbone's embedding entries.
        """
        ...


PARAMETRISATIONS: Registry[Callable[[Tensor, Vocabulary], nn.Module]] = Registry("parametrisation")
discover(__name__, list(__path__))
