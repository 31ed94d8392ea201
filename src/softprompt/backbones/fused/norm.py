"""Root mean square normalisation and rotary positions, with their gradients written out.

    y = w * x * r,  r = 1 / sqrt(mean(x^2) + eps)
    dx = r * g - x * r^3 * mean(g * x),  g = w * dy            (Zhang and Sennrich, 2019)

    rotate(x, cos, sin) = [x1 cos - x2 sin, x2 cos + x1 sin]; its gradient is rotate(dy, cos, -sin)

Inner sums are fp32 whatever the model computes in. Shapes: any leading ones, D the last; of rotary
positions M positions, H heads of d = 2 h.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Norm", "rotate"]


class Norm:
    """A frozen RMS normalisation.

    Args:
        weight_D: its scale.
        epsilon: added to the mean square.
    """

    def __init__(self, weight_D: Tensor, epsilon: float) -> None:
        self.weight_D, self.epsilon = weight_D, epsilon

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The normalised x, and r in fp32 with a last dimension of 1."""
        wide = x.float()
        square = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_()
        r = square.div_(x.shape[-1]).add_(self.epsilon).rsqrt_()
        return (wide * r).to(x.dtype).mul_(self.weight_D), r

    def backward(self, gradient: Tensor, x: Tensor, r: Tensor) -> Tensor:
        """The gradient of x in fp32, from that of the result."""
        g = (gradient * self.weight_D).float()
        wide = x.float()
        inner = (g * wide).sum(-1, keepdim=True).mul_(r.pow(3)).div_(x.shape[-1])
        return g.mul_(r).addcmul_(wide, inner, value=-1)


def rotate(
    x_MHd: Tensor, cos_M1h: Tensor, sin_M1h: Tensor, result_MHd: Tensor, back: bool = False
) -> Tensor:
    """Rotary positions, written to `result_MHd`, which is not x; `back` turns the other way."""
    half, sign = x_MHd.shape[-1] // 2, -1 if back else 1
    first, second = x_MHd[..., :half], x_MHd[..., half:]
    torch.mul(first, cos_M1h, out=result_MHd[..., :half]).addcmul_(second, sin_M1h, value=-sign)
    torch.mul(second, cos_M1h, out=result_MHd[..., half:]).addcmul_(first, sin_M1h, value=sign)
    return result_MHd
