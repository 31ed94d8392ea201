"""Which places of a prompt a training row does not see: those made of itself, and some by chance.

Both are of CT-KV (Lu et al. 2025, arXiv 2507.04221): leave-one-out masking, so that no row finds
its own answer in a prompt made of demonstrations, and token dropout. It knows places and numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

__all__ = ["Hiding"]


class Hiding:
    """A function of row, prompt and step alone, so that resumed runs hide the same.

    Args:
        seed: of the dropout.
        dropout: chance of each place to be hidden in a step.
    """

    def __init__(self, seed: int, dropout: float) -> None:
        self._seed, self._dropout = seed, dropout

    def places(
        self, made_of: Mapping[int, Sequence[int]], length: int, row: int, step: int
    ) -> frozenset[int]:
        """The hidden places of a prompt.

        Args:
            made_of: places of the prompt by the training row that they were made of.
            length: places of the prompt.
            row: that is trained on.
            step: of the run.
        """
        hidden = set(made_of.get(row, ()))
        if self._dropout > 0:
            key = ((self._seed * 1_000_003 + step) * 1_000_003 + row) % (1 << 62)
            drawn = torch.rand(length, generator=torch.Generator().manual_seed(key))
            hidden |= set(torch.nonzero(drawn < self._dropout)[:, 0].tolist())
        return frozenset(hidden)
