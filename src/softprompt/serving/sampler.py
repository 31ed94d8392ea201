"""The next token of every row, each by its own rules and its own chance.

A row's choice depends on its own logits, settings and generator alone. It does not know where
logits come from.

Shapes: R rows, V vocabulary, K tokens sorted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from softprompt.errors import ServingError, SoftPromptError, UsageError
from softprompt.serving.constraints import Follower
from softprompt.serving.requests import Sampling

__all__ = ["COLDEST", "Chooser", "choose", "overflow"]

COLDEST = 1e-5
"""Below this temperature the likeliest token is taken: others have no chance in fp32."""

LIKELIEST = 1024
"""Tokens sorted at first."""


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
        if sampling.temperature >= COLDEST:
            generator = torch.Generator()
            if sampling.seed is None:
                generator.seed()
            else:
                generator.manual_seed(sampling.seed)
        return cls(sampling, generator, follower)


def overflow() -> ServingError:
    """What a request fails with whose logits are no numbers."""
    return ServingError(
        "The model's numbers overflow at this request.",
        "Try a prompt with smaller vectors, or --dtype fp32.",
    )


def choose(logits_RV: Tensor, choosers: Sequence[Chooser]) -> list[int | SoftPromptError]:
    """A token for every row, or why the row has none.

    Args:
        logits_RV: fp32; changed in place where rows have constraints.
        choosers: of the rows, in order.
    """
    finite: list[bool] = logits_RV.amax(-1).isfinite().tolist()
    found: list[int | SoftPromptError] = []
    broken: dict[int, SoftPromptError] = {}
    for row, chooser in enumerate(choosers):
        if not finite[row]:
            broken[row] = overflow()
        elif chooser.follower is not None:
            try:
                chooser.follower.restrict(logits_RV[row])
            except UsageError as error:
                broken[row] = error
    found += logits_RV.argmax(-1).tolist()
    for row, chooser in enumerate(choosers):
        if row not in broken and chooser.generator is not None:
            found[row] = _sampled(logits_RV[row], chooser.sampling, chooser.generator)
    for row, failure in broken.items():
        found[row] = failure
    return found


def _sampled(logits_V: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """A token by temperature, then the `top_k` likeliest, then the likeliest with `top_p`."""
    weights_V = ((logits_V - logits_V.max()).float().cpu() / sampling.temperature).exp()
    most = sampling.top_k or len(weights_V)
    if sampling.top_p >= 1 and most >= len(weights_V):
        return _drawn(weights_V, generator)
    # Few tokens hold nearly all of the weight, so that the others need not be sorted.
    first = min(most, LIKELIEST)
    weights_K, order_K = weights_V.topk(min(first, len(weights_V)))
    whole = float(weights_V.sum() if most >= len(weights_V) else weights_V.topk(most).values.sum())
    if len(weights_K) < most and float(weights_K.sum()) < sampling.top_p * whole:
        weights_K, order_K = weights_V.topk(min(most, len(weights_V)))
    # A token stays while those before it have not reached the share.
    before_K = weights_K.double().cumsum(0) - weights_K
    inside = max(1, int((before_K < sampling.top_p * whole).sum()))
    return int(order_K[_drawn(weights_K[:inside], generator)])


def _drawn(weights_K: Tensor, generator: torch.Generator) -> int:
    """The place that one uniform number points to."""
    sums_K = weights_K.double().cumsum(0)
    point = torch.rand((), generator=generator, dtype=torch.float64) * sums_K[-1]
    return min(int(torch.searchsorted(sums_K, point, right=True)), len(sums_K) - 1)
