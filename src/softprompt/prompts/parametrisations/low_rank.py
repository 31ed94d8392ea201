"""Few numbers for many vectors: ULPT (Wu et al. 2025, arXiv 2502.04501)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from softprompt.prompts.parametrisations import PARAMETRISATIONS, Vocabulary

__all__ = ["LowRank"]

_RANK = 2


@PARAMETRISATIONS.register("low_rank")
class LowRank(nn.Module):
    """P' = s * (P + Z R) + b: Z [P, r] is trained, R [r, D] is random and frozen, scale s [D] and
    shift b [D] are trained, so P r + 2 D numbers learn.

    The paper has no P; here Z starts at zero, so that training starts at the initial vectors.

    Args:
        initial_PD: [P, D] vectors to start from.
        vocabulary: not used.
    """

    def __init__(self, initial_PD: Tensor, vocabulary: Vocabulary) -> None:
        super().__init__()
        initial_PD = initial_PD.detach().float().clone()
        count, size = initial_PD.shape
        self.register_buffer("initial_PD", initial_PD)
        spread = initial_PD.square().mean().sqrt() * _RANK**-0.5
        self.register_buffer("random_RD", torch.randn(_RANK, size) * spread)
        self.low_PR = nn.Parameter(torch.zeros(count, _RANK))
        self.scale_D = nn.Parameter(torch.ones(size))
        self.shift_D = nn.Parameter(torch.zeros(size))

    def forward(self) -> Tensor:
        """[P, D] the vectors."""
        moved_PD = self.get_buffer("initial_PD") + self.low_PR @ self.get_buffer("random_RD")
        return self.scale_D * moved_PD + self.shift_D

    def groups(self, scale: float) -> list[dict[str, Any]]:
        """Z and the scale, of order one, at the rate itself; the shift in embedding units."""
        return [
            {"params": [self.low_PR, self.scale_D], "factor": 1.0},
            {"params": [self.shift_D], "factor": scale},
        ]
