"""Which rows are in which batch of which epoch: a function of the seed and the epoch alone.

So a resumed run needs no state of a random generator to go on with the same batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

__all__ = [
    "Batch",
    "epoch_batches",
    "learning_rate_factor",
    "steps_per_epoch",
    "validation_interval",
]


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
    buckets: Sequence[Sequence[int]],
    batch_size: int,
    seed: int,
    epoch: int,
    classes: Sequence[int] = (),
) -> list[Batch]:
    """Every row once: shuffled within its bucket, cut into batches, batches shuffled.

    Args:
        buckets: indices of rows.
        batch_size: rows of a batch at most.
        seed, epoch: what the order depends on.
        classes: class of each row; a batch then has each class as often as its bucket has. The
            share of a class that differs from batch to batch is most of the gradient's noise
            before a prompt has learned anything else.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    batches = []
    for number, bucket in enumerate(buckets):
        order = torch.randperm(len(bucket), generator=generator).tolist()
        if classes:
            order = _interleaved(order, [classes[bucket[place]] for place in order], generator)
        for start in range(0, len(order), batch_size):
            batches.append(Batch(number, tuple(order[start : start + batch_size])))
    shuffled = torch.randperm(len(batches), generator=generator).tolist()
    return [batches[place] for place in shuffled]


def _interleaved(
    order: Sequence[int], classes: Sequence[int], generator: torch.Generator
) -> list[int]:
    """The same places with the members of each class spread evenly, in their order."""
    by_class: dict[int, list[int]] = {}
    for place, name in zip(order, classes, strict=True):
        by_class.setdefault(name, []).append(place)
    spread: list[tuple[float, int]] = []
    for name in sorted(by_class):
        members = by_class[name]
        start = float(torch.rand((), generator=generator))
        spread += [((i + start) / len(members), place) for i, place in enumerate(members)]
    return [place for _, place in sorted(spread)]


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


def validation_interval(per_epoch: int, steps: int, validations: int | None) -> int:
    """Steps from one validation to the next.

    The best of very many validations on few rows is best by luck, and each takes time.

    Args:
        per_epoch, steps: of an epoch and of the run.
        validations: of an epoch, where they are given.
    """
    if validations is not None:
        return max(1, per_epoch // validations)
    return max(per_epoch, -(-steps // _MOST_VALIDATIONS))


_MOST_VALIDATIONS = 24
