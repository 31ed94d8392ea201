"""How much memory a pass needs, and what follows for the number of prompts and examples in it.

What autograd keeps for the backward pass grows with the rows of a pass, one row an example and a
prompt. It is counted on a single row, so the answer is the same on every device. It does not know
what else is in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from softprompt.backbones.fused import computed
from softprompt.training.schedule import Batch

if TYPE_CHECKING:
    from softprompt.training.loop import Loop

__all__ = ["PASS_SHARE", "fit", "fit_loop", "kept_bytes"]

PASS_SHARE = 0.4
"""Share of free memory that one pass may take."""

_OVERHEAD = 1.5
"""Room for gradients and temporary results beside what is kept."""


def kept_bytes(forward: Callable[[], Tensor], constants: set[int]) -> int:
    """Bytes that autograd keeps for the backward pass of a computation.

    Args:
        forward: the computation.
        constants: addresses of storages that exist anyway, such as weights.
    """
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in constants:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with computed(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()
    del result
    return sum(kept.values())


def fit_loop(loop: Loop, budget: int) -> tuple[int, int]:
    """How many of a loop's prompts train together, and with how many examples in a pass.

    Args:
        loop: with the whole population; its longest rows and its longest prompt count.
        budget: bytes that a pass may take.
    """
    longest = Batch(len(loop.rows.contexts.buckets) - 1, (0,))
    prompt_PX = max((member.vectors() for member in loop.members), key=len)
    alone = [prompt_PX.requires_grad_()]
    weights = loop.backbone.model.state_dict().values()
    constants = {tensor.untyped_storage().data_ptr() for tensor in weights}
    row = kept_bytes(lambda: next(loop.losses(longest, alone)), constants)
    return fit(row, budget, len(loop.members), loop.config.batch_size)


def fit(row_bytes: int, budget: int, prompts: int, batch_size: int) -> tuple[int, int]:
    """How many prompts train together, and with how many examples in a pass.

    Args:
        row_bytes: kept for one example with one prompt.
        budget: bytes that a pass may take.
        prompts: wanted.
        batch_size: examples of a step.

    Returns:
        prompts and examples, both at least 1; a step of fewer examples than the batch takes
        several passes.
    """
    rows = max(1, int(budget / (_OVERHEAD * max(1, row_bytes))))
    prompts = min(prompts, rows)
    return prompts, max(1, min(batch_size, rows // prompts))
