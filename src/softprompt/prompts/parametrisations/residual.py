"""Vectors plus a small network of them (Razdaibiedina et al. 2023, arXiv 2305.03937)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from softprompt.prompts.parametrisations import PARAMETRISATIONS, Vocabulary

__all__ = ["Residual"]

_BOTTLENECK = 64


@PARAMETRISATIONS.register("residual")
class Residual(nn.Module):
    """P' = P + up(relu(down(norm(P / s)))) * s, with s the scale of the initial vectors.

    The paper shares one bottleneck MLP, with layer normalisation of its output, among all vectors.
    Here what goes in is normalised, and the last matrix starts at zero, so that training starts
    exactly at the initial vectors.

    Args:
        initial_PD: [P, D] vectors to start from.
        vocabulary: not used.
    """

    def __init__(self, initial_PD: Tensor, vocabulary: Vocabulary) -> None:
        super().__init__()
        size = initial_PD.shape[1]
        self.vectors_PD = nn.Parameter(initial_PD.detach().float().clone())
        self.register_buffer("scale", initial_PD.detach().float().square().mean().sqrt().clone())
        self.down = nn.Linear(size, _BOTTLENECK)
        self.up = nn.Linear(_BOTTLENECK, size)
        self.norm = nn.LayerNorm(size)
        nn.init.normal_(self.down.weight, std=size**-0.5)
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self) -> Tensor:
        """[P, D] the vectors with the network's contribution."""
        scale = self.get_buffer("scale").clamp(min=1e-8)
        hidden = torch.relu(self.down(self.norm(self.vectors_PD / scale)))
        added_PD: Tensor = self.up(hidden) * scale
        return self.vectors_PD + added_PD

    def groups(self, scale: float) -> list[dict[str, Any]]:
        """The vectors at the embedding scale; the network's weights, of order one, at a tenth."""
        network = [*self.down.parameters(), *self.up.parameters(), *self.norm.parameters()]
        return [
            {"params": [self.vectors_PD], "factor": scale},
            {"params": network, "factor": 0.1},
        ]
