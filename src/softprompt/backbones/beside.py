"""Keys and values that stand between a row's context and its new positions, layer by layer.

They are what a prompt of depth `kv` is made of: nothing is computed at their places, the layers
only look there. It does not know where they come from.

Shapes: R rows, Q places, J key-value heads, d head size.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Beside"]


@dataclass(frozen=True)
class Beside:
    """Keys and values of R rows, differentiable.

    Args:
        keys, values: one [R, J, Q, d] per layer, as the model caches them.
        position_RQ: [R, Q] position in the row's sequence; -1 for padding.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    position_RQ: Tensor
