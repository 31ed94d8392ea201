"""Vectors among the input embeddings: prompt tuning (Lester et al. 2021, arXiv 2104.08691)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from softprompt.prompts.depths import DEPTHS

__all__ = ["Input"]


class Input:
    """One vector [D] at each place of the prompt, in the input sequence and nowhere else."""

    def names(self, slots: int) -> list[str]:
        """`vectors`, or `slot.0`, `slot.1`, ... where a template has several slots."""
        return ["vectors"] if slots == 1 else [f"slot.{index}" for index in range(slots)]

    def embeddings(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """[P, D] the vectors of all slots, in order."""
        return torch.cat([tensors[name] for name in self.names(len(tensors))])


DEPTHS.register("input")(Input())
