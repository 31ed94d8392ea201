"""Random vectors with the mean and spread of the embedding table."""

from __future__ import annotations

import torch
from torch import Tensor

from softprompt.prompts.initialisers import INITIALISERS, Request

__all__ = ["random"]


@INITIALISERS.register("random")
def random(request: Request) -> Tensor:
    """Normal, coordinate by coordinate as the frequent embeddings are, instead of N(0, 1).

    Embedding entries are commonly 10 to 100 times smaller than 1; starting off their scale is a
    known cause of failed runs.
    """
    table_ND = request.rows(request.frequent())
    noise_PD = torch.randn(request.length, table_ND.shape[1], generator=request.generator())
    return table_ND.mean(0) + noise_PD * table_ND.std(0)
