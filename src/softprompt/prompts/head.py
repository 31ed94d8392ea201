"""The head of a classifier's prompt: a row [D] for each choice, trained with the prompt.

    log p(c) = log softmax over c of (hidden state . row c)

From start to artifact the rows of the head are the first rows of the prompt's matrix, so that a
population trains heads and vectors side by side; in the artifact they have a name of their own,
`head.weight` [C, D]. It knows rows, not who pools what.

Shapes: C choices, P places, D hidden size, X numbers of a prompt's row (D of them are used by a row
of the head).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["HEAD", "Headed", "first_head", "headless", "with_head"]

HEAD = "head.weight"

RATE = 0.01
"""What multiplies the learning rate for a head: its numbers do not count in embedding units."""


def first_head(choices: int, hidden_size: int, seed: int) -> Tensor:
    """[C, D] small rows to start from (the spread of Devlin et al. 2019, arXiv 1810.04805)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(choices, hidden_size, generator=generator) * 0.02


def with_head(head_CD: Tensor, rows_PX: Tensor) -> Tensor:
    """[C + P, X] the rows of the head, filled up with zeros, before the prompt's."""
    wider = rows_PX.shape[1] - head_CD.shape[1]
    return torch.cat([nn.functional.pad(head_CD, (0, wider)), rows_PX])


def headless(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An artifact's tensors without the head's."""
    return {name: tensor for name, tensor in tensors.items() if name != HEAD}


class Headed(nn.Module):
    """A parametrisation and a head, as one matrix.

    Args:
        inner: a parametrisation of [P, X].
        head_CD: rows to start from.
    """

    def __init__(self, inner: nn.Module, head_CD: Tensor) -> None:
        super().__init__()
        self.inner = inner
        self.head_CD = nn.Parameter(head_CD.detach().float().clone())

    def forward(self) -> Tensor:
        """[C + P, X]."""
        return with_head(self.head_CD, self.inner())

    def groups(self, scale: float) -> list[dict[str, Any]]:
        """Those of the parametrisation, and the head with a rate of its own.

        The head counts as a network: its gradients all point one way where there are two choices,
        and steps made equally long in all directions would follow noise.
        """
        inner: list[dict[str, Any]] = self.inner.groups(scale)  # type: ignore[operator]
        return [*inner, {"params": [self.head_CD], "factor": RATE, "network": True}]
