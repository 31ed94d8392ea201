"""Embeddings drawn from the most frequent tokens (Lester et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from softprompt.prompts.initialisers import INITIALISERS, Request

__all__ = ["vocabulary"]


@INITIALISERS.register("vocabulary")
def vocabulary(request: Request) -> Tensor:
    """P of the 5,000 most frequent tokens, each drawn at most once."""
    return request.filled(torch.empty(0, request.backbone.hidden_size))
