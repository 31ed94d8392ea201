"""AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101)."""

from __future__ import annotations

from typing import Any

import torch

from softprompt.training.optimizers import OPTIMIZERS

__all__ = ["adamw"]


@OPTIMIZERS.register("adamw")
def adamw(groups: list[dict[str, Any]], weight_decay: float) -> torch.optim.Optimizer:
    """With a second-moment decay of 0.98, which suits runs of some hundred steps."""
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=weight_decay)
