"""How much memory a pass needs, and what follows for the number of prompts and examples in it.

What autograd keeps for the backward pass grows with the rows of a pass, one row an example and a
prompt. It is counted on a single row, so the answer is the same on every device. It does not know
what else is in memory.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["fit", "kept_bytes"]

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

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()
    del result
    return sum(kept.values())


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
