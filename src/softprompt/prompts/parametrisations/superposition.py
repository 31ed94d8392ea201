"""Vectors as mixes of vocabulary embeddings (SadraeiJavaheri et al. 2024, arXiv 2406.05279)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from softprompt.prompts.parametrisations import PARAMETRISATIONS, Vocabulary

__all__ = ["Superposition"]

_BASIS = 128


@PARAMETRISATIONS.register("superposition")
class Superposition(nn.Module):
    """P = W E: each vector a learned mix of the same m embeddings E, which are constants.

    The paper draws E from the vocabulary. Here the initial vectors are its first P rows and W
    starts at the identity, so that training starts exactly at them.

    Args:
        initial_PD: [P, D] vectors to start from.
        vocabulary: gives the other embeddings, so many that there are 128 of them (none where P is
            larger, fewer where the vocabulary has fewer).
    """

    def __init__(self, initial_PD: Tensor, vocabulary: Vocabulary) -> None:
        super().__init__()
        initial_PD = initial_PD.detach().float()
        self.register_buffer("basis_MD", _distinct(initial_PD, vocabulary))
        self.weights_PM = nn.Parameter(torch.eye(len(initial_PD), len(self.get_buffer("basis_MD"))))

    def forward(self) -> Tensor:
        """[P, D] the vectors."""
        return self.weights_PM @ self.get_buffer("basis_MD")

    def groups(self, scale: float) -> list[dict[str, Any]]:
        """One group; m weights that each move by r / sqrt(m) move a vector by r embedding sizes."""
        return [{"params": [self.weights_PM], "factor": self.weights_PM.shape[1] ** -0.5}]


def _distinct(initial_PD: Tensor, vocabulary: Vocabulary) -> Tensor:
    """[M, D] the initial vectors and others than these, each once: one that is there twice adds no
    direction, and its own would be learned at twice the rate."""
    wanted = max(0, _BASIS - len(initial_PD))
    # Initial vectors are drawn from the same embeddings, often in the same order.
    others_ED = vocabulary(_BASIS if wanted else 0).float()
    known_ND = torch.cat([initial_PD, others_ED])
    sizes_N = known_ND.norm(dim=1)
    apart_NN = torch.cdist(known_ND, known_ND, compute_mode="donot_use_mm_for_euclid_dist")
    same_NN = (apart_NN <= 1e-5 * sizes_N[:, None]).tril(-1)
    same_NN[: len(initial_PD)] = False
    return known_ND[~same_NN.any(1)][: len(initial_PD) + wanted].clone()
