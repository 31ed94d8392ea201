"""The next token of every row, each by its own rules and its own chance.

A row's choice depends on its own logits, settings and generator alone. It does not know where
logits come from.

Shapes: R rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from softprompt.serving.constraints import Follower
from softprompt.serving.requests import Sampling

__all__ = ["Chooser", "choose"]


@dataclass(frozen=True)
class Chooser:
    """How one row chooses.

    Args:
        sampling: its settings.
        generator: of its chance; None where nothing is left to chance.
        follower: of its constraint, or None.
    """

    sampling: Sampling
    generator: torch.Generator | None
    follower: Follower | None

    @classmethod
    def of(cls, sampling: Sampling, follower: Follower | None) -> Chooser:
        """With a generator of its own, seeded as the settings say."""
        generator = None
        if sampling.temperature > 0:
            generator = torch.Generator()
            if sampling.seed is None:
                generator.seed()
            else:
                generator.manual_seed(sampling.seed)
        return cls(sampling, generator, follower)


def choose(logits_RV: Tensor, choosers: Sequence[Chooser]) -> list[int]:
    """A token for every row.

    Args:
        logits_RV: fp32; changed in place where rows have constraints.
        choosers: of the rows, in order.
    """
    for row, chooser in enumerate(choosers):
        if chooser.follower is not None:
            chooser.follower.restrict(logits_RV[row])
    chosen: list[int] = logits_RV.argmax(-1).tolist()
    for row, chooser in enumerate(choosers):
        if chooser.generator is not None:
            chosen[row] = _sampled(logits_RV[row], chooser.sampling, chooser.generator)
    return chosen


def _sampled(logits_V: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """A token by temperature, then the `top_k` likeliest, then the likeliest with `top_p`."""
    scaled_V = logits_V.double().cpu() / sampling.temperature
    if 0 < sampling.top_k < len(scaled_V):
        least = scaled_V.topk(sampling.top_k).values[-1]
        scaled_V = scaled_V.masked_fill(scaled_V < least, -torch.inf)
    chances_V = scaled_V.softmax(-1)
    if sampling.top_p < 1:
        sorted_V, order_V = chances_V.sort(descending=True, stable=True)
        # A token stays while those before it have not reached the share.
        outside_V = sorted_V.cumsum(0) - sorted_V >= sampling.top_p
        chances_V = chances_V.index_fill(0, order_V[outside_V], 0.0)
    return int(torch.multinomial(chances_V, 1, generator=generator))
