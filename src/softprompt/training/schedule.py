"""Which rows are in which batch of which epoch: a function of the seed and the epoch alone.

So a resumed run needs no state of a random generator to go on with the same batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

__all__ = ["Batch", "epoch_batches", "learning_rate_factor", "steps_per_epoch"]


@dataclass(frozen=True)
class Batch:
    """Rows of one bucket.

    Args:
        bucket: which.
        members: places within the bucket.
    """

    bucket: int
    members: tuple[int, ...]


def epoch_batches(
    buckets: Sequence[Sequence[int]], batch_size: int, seed: int, epoch: int
) -> list[Batch]:
    """Every row once: shuffled within its bucket, cut into batches, batches shuffled."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    batches = []
    for number, bucket in enumerate(buckets):
        order = torch.randperm(len(bucket), generator=generator).tolist()
        for start in range(0, len(order), batch_size):
            batches.append(Batch(number, tuple(order[start : start + batch_size])))
    shuffled = torch.randperm(len(batches), generator=generator).tolist()
    return [batches[place] for place in shuffled]


def steps_per_epoch(buckets: Sequence[Sequence[int]], batch_size: int) -> int:
    """Number of batches of an epoch."""
    return sum(-(-len(bucket) // batch_size) for bucket in buckets)


def learning_rate_factor(step: int, steps: int, warmup: float) -> float:
    """Linear warm-up, then a cosine to a twentieth: what multiplies the peak rate at a step.

    Args:
        step: 0 for the first.
        steps: of the whole run.
        warmup: share of the steps that warm up.
    """
    from math import cos, pi

    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, steps - rising)
    return 0.05 + 0.95 * 0.5 * (1 + cos(pi * min(1.0, done)))
