"""The vectors themselves are trained (Lester et al. 2021, arXiv 2104.08691)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from softprompt.prompts.parametrisations import PARAMETRISATIONS, Vocabulary

__all__ = ["Direct"]


@PARAMETRISATIONS.register("direct")
class Direct(nn.Module):
    """P = theta.

    The learning rate counts in units of the embedding scale, so that one value suits backbones
    whose embeddings differ in size by orders of magnitude.

    Args:
        initial_PD: [P, D] vectors to start from.
        vocabulary: not used.
    """

    def __init__(self, initial_PD: Tensor, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.vectors_PD = nn.Parameter(initial_PD.detach().float().clone())

    def forward(self) -> Tensor:
        """[P, D] the vectors."""
        return self.vectors_PD

    def groups(self, scale: float) -> list[dict[str, Any]]:
        """One group, its rate in units of the embedding scale."""
        return [{"params": [self.vectors_PD], "factor": scale}]
