"""Adafactor (Shazeer and Stern 2018, arXiv 1804.04235), as Lester et al. 2021 use it."""

from __future__ import annotations

from typing import Any

import torch

from softprompt.training.optimizers import OPTIMIZERS

__all__ = ["adafactor"]


@OPTIMIZERS.register("adafactor")
def adafactor(groups: list[dict[str, Any]], weight_decay: float) -> torch.optim.Optimizer:
    """PyTorch's own: updates are relative to the parameter's scale, so `lr` is without unit."""
    for group in groups:
        group["lr"] = group["lr"] / max(group.get("factor", 1.0), 1e-12)
    return torch.optim.Adafactor(groups, weight_decay=weight_decay)
