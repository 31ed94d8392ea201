"""By how much do packed contexts change the loss? Measured on a run's own rows, before it."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from softprompt.inference import Contexts
from softprompt.training.loop import Loop
from softprompt.training.schedule import epoch_batches

__all__ = ["loss_change"]

_BATCHES = 4


def loss_change(loop: Loop) -> float | None:
    """The mean of |packed - exact| / exact over the losses of a few batches.

    Args:
        loop: about to begin; nothing of it changes.

    Returns:
        None where contexts are not packed.
    """
    rows = loop.rows
    if rows.contexts.precision == "full":
        return None
    exact = copy.copy(loop)
    size = max(len(bucket) for bucket in rows.contexts.buckets)
    exact.rows = replace(
        rows, contexts=Contexts(loop.backbone, rows.encoded.examples, bucket_rows=size)
    )
    exact.rows.contexts.buckets = rows.contexts.buckets
    prompts = [member.vectors() for member in loop.members[:1]]
    batches = epoch_batches(
        rows.contexts.buckets, loop.config.batch_size, loop.config.seed, 0, rows.gold
    )
    changes = []
    with torch.no_grad():
        for batch in batches[:_BATCHES]:
            packed, whole = (
                sum(float(part.sum()) for part in side.losses(batch, prompts))
                for side in (loop, exact)
            )
            changes.append(abs(packed - whole) / max(whole, 1e-12))
    return round(sum(changes) / len(changes), 6)
