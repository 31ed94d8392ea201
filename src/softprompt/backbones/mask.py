"""Who may attend to whom when branches continue from cached contexts.

One row holds a trunk (branch 0) and any number of branches over it. A position attends to its
row's context, to the trunk before it and to its own branch before it; never to another branch, so
each branch gets what it would get alone. The rule is stated in positions, so that padding may stand
anywhere. It knows nothing of models.

Shapes: B rows, T context tokens, Q keys between, N continued tokens, S = T + Q + N.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["attention_mask", "context_mask"]


def attention_mask(
    lengths_B: Tensor,
    width: int,
    position_BN: Tensor,
    branch_BN: Tensor,
    dtype: torch.dtype,
    window: int | None = None,
    between_BQ: Tensor | None = None,
) -> Tensor:
    """Additive mask [B, 1, N, T + N]: 0 where attention is allowed, the lowest number elsewhere.

    With keys between the context and the new positions it is [B, 1, N, T + Q + N].

    Args:
        lengths_B: [B] real tokens of each context.
        width: T, tokens that the context tensors are wide.
        position_BN: [B, N] position in the row's sequence; -1 for padding.
        branch_BN: [B, N] 0 for the trunk, 1, 2, ... for branches.
        dtype: of the result.
        window: sliding window in tokens (a query sees the last `window` positions, itself
            included); None for full attention.
        between_BQ: [B, Q] positions of keys of the trunk that no query stands at; -1 for padding.
    """
    device = position_BN.device
    if between_BQ is None:
        between_BQ = position_BN[:, :0]
    slots_T = torch.arange(width, device=device)
    context_BT = torch.where(slots_T < lengths_B[:, None], slots_T, -1)
    key_position_BS = torch.cat([context_BT, between_BQ, position_BN], dim=1)
    trunk = torch.zeros_like(context_BT), torch.zeros_like(between_BQ)
    key_branch_BS = torch.cat([*trunk, branch_BN], dim=1)
    query_BN1 = position_BN[:, :, None]
    key_B1S = key_position_BS[:, None, :]
    same_BNS = (key_branch_BS[:, None, :] == 0) | (
        key_branch_BS[:, None, :] == branch_BN[:, :, None]
    )
    allowed_BNS = (key_B1S >= 0) & (key_B1S <= query_BN1) & same_BNS
    if window is not None:
        allowed_BNS &= query_BN1 - key_B1S < window
    mask_BNS = torch.zeros(allowed_BNS.shape, dtype=dtype, device=device)
    return mask_BNS.masked_fill_(~allowed_BNS, torch.finfo(dtype).min)[:, None]


def context_mask(
    lengths_B: Tensor,
    width: int,
    position_BKN: Tensor,
    dtype: torch.dtype,
    window: int | None = None,
) -> Tensor:
    """The same rule for context tokens alone, where K rows continue each context.

    Args:
        lengths_B, width, dtype, window: as in `attention_mask`.
        position_BKN: [B, K, N] positions of what continues; -1 for padding.

    Returns:
        [B, 1, 1, 1, T] without a window, [B, K, 1, N, T] with one; additive.
    """
    slots_T = torch.arange(width, device=lengths_B.device)
    allowed = (slots_T < lengths_B[:, None])[:, None, None, None]
    if window is not None:
        allowed = allowed & (position_BKN[:, :, None, :, None] - slots_T < window)
    return torch.zeros(allowed.shape, dtype=dtype, device=lengths_B.device).masked_fill_(
        ~allowed, torch.finfo(dtype).min
    )
