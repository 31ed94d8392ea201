"""The batch that all sides of a benchmark train on: so many rows, as long as one another."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["ANSWER", "VECTORS", "token_ids"]

VECTORS, ANSWER = 16, 2
"""Vectors of a prompt and tokens of an answer."""


def token_ids(rows: int, tokens: int, vocabulary: int) -> Tensor:
    """[rows, tokens + ANSWER] ids, the same for all sides."""
    generator = torch.Generator().manual_seed(tokens)
    return torch.randint(3, vocabulary, (rows, tokens + ANSWER), generator=generator)
