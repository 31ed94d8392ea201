"""Log-probabilities of a few tokens out of a large vocabulary, with their gradient.

    log p(t | h) = h W_t - log sum_v exp(h W_v),    d/dh = W_t - sum_v p(v) W_v

A frozen head makes the second term of the gradient known as soon as the forward pass has the
probabilities. So it is computed there, in blocks that stay in the processor's cache, and neither
logits nor probabilities are kept. It knows linear heads; `Backbone` decides where that is enough.

Shapes: U positions, M tokens asked for, V vocabulary, D hidden size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["picked_log_probabilities"]

_BLOCK_ROWS = 64
_BLOCK_NUMBERS = 1 << 19
_BLOCK_NUMBERS_ELSEWHERE = 1 << 26
"""Of devices other than the processor, whose caches do not matter: 256 MB in fp32."""


def picked_log_probabilities(
    hidden_UD: Tensor, weight_VD: Tensor, pick_M: Tensor, target_M: Tensor, scale: float = 1.0
) -> Tensor:
    """[M] fp32 log-probability of each token asked for, differentiable in the hidden states.

    Args:
        hidden_UD: [U, D] last hidden states.
        weight_VD: [V, D] of a frozen linear head without bias.
        pick_M: [M] which position predicts each token.
        target_M: [M] the tokens.
        scale: multiplies logits.
    """
    return _Picked.apply(hidden_UD, weight_VD, pick_M, target_M, scale)  # type: ignore[no-any-return, no-untyped-call]


class _Picked(torch.autograd.Function):
    """The module's formula, block by block."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_UD: Tensor,
        weight_VD: Tensor,
        pick_M: Tensor,
        target_M: Tensor,
        scale: float,
    ) -> Tensor:
        wanted = ctx.needs_input_grad[0]
        count, vocabulary = hidden_UD.shape[0], weight_VD.shape[0]
        log_sum_U = hidden_UD.new_empty(count, dtype=torch.float32)
        picked_M = hidden_UD.new_empty(len(pick_M), dtype=torch.float32)
        mean_UD = torch.empty_like(hidden_UD) if wanted else None
        on_processor = hidden_UD.device.type == "cpu"
        numbers = _BLOCK_NUMBERS if on_processor else _BLOCK_NUMBERS_ELSEWHERE
        size = max(_BLOCK_ROWS, numbers // vocabulary)
        for start in range(0, count, size):
            rows = slice(start, start + size)
            block = (hidden_UD[rows] @ weight_VD.T).float()
            if scale != 1.0:
                block.mul_(scale)
            mine: Tensor | slice = slice(None)
            if size < count:
                (mine,) = torch.nonzero((pick_M >= start) & (pick_M < start + size), as_tuple=True)
            picked_M[mine] = block[pick_M[mine] - start, target_M[mine]]
            largest = block.amax(-1, keepdim=True)
            total = block.sub_(largest).exp_().sum(-1, keepdim=True)
            log_sum_U[rows] = (largest + total.log())[:, 0]
            if mean_UD is not None:
                mean_UD[rows] = (block.div_(total).to(weight_VD.dtype) @ weight_VD) * scale
        if mean_UD is not None:
            ctx.save_for_backward(mean_UD, weight_VD, pick_M, target_M)
            ctx.scale = scale
        return picked_M - log_sum_U[pick_M]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        mean_UD, weight_VD, pick_M, target_M = ctx.saved_tensors
        (gradient_M,) = gradients
        gradient_M1 = gradient_M[:, None].to(mean_UD.dtype)
        total_U1 = mean_UD.new_zeros(len(mean_UD), 1).index_add_(0, pick_M, gradient_M1)
        result_UD = (mean_UD * total_U1).neg_()
        result_UD.index_add_(0, pick_M, weight_VD[target_M] * (gradient_M1 * ctx.scale))
        return result_UD, None, None, None, None
