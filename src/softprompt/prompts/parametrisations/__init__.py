"""How the trained numbers make the vectors: one file a parametrisation.

A parametrisation is a module that starts at given vectors and returns vectors; it is folded away
when training ends, so an artifact always holds plain vectors. It knows nothing of placement,
initialisation or the backbone beyond the scale of its embeddings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor, nn

from softprompt.locale import mark
from softprompt.registry import Registry, discover

__all__ = ["PARAMETRISATIONS", "Parametrisation", "Scaled", "Vocabulary"]

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


class Scaled(nn.Module):
    """What a parametrisation makes, times a size for each number of a row.

    So all numbers are trained in units of the embedding scale, whatever their own size is.

    Args:
        inner: a parametrisation.
        scale_X: [X].
    """

    def __init__(self, inner: nn.Module, scale_X: Tensor) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("scale_X", scale_X.detach().float().clone())

    def forward(self) -> Tensor:
        """[P, X] the rows."""
        rows_PX: Tensor = self.inner()
        return rows_PX * self.get_buffer("scale_X")

    def groups(self, scale: float) -> list[dict[str, Any]]:
        """Those of the parametrisation."""
        return self.inner.groups(scale)  # type: ignore[operator, no-any-return]


PARAMETRISATIONS: Registry[Callable[[Tensor, Vocabulary], nn.Module]] = Registry(
    mark("parametrisation")
)
discover(__name__, list(__path__))
