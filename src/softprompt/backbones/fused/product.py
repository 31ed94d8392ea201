"""Products with a frozen weight: x W' + b forward, g W backward.

On a processor that multiplies bfloat16 in tiles, oneDNN rearranges a weight before each product;
for the few hundred rows of a step that costs as much as the product. A frozen weight is rearranged
once for each direction, where memory allows the two copies. Where the operations that do so are
missing, products are plain ones.

Shapes: M rows, I inputs, O outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

__all__ = ["Product", "packing_helps"]


def packing_helps(weight_OI: Tensor) -> bool:
    """Whether a weight of this kind, on this device, is worth two rearranged copies."""
    return (
        weight_OI.device.type == "cpu"
        and weight_OI.dtype == torch.bfloat16
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


class Product:
    """A frozen linear layer.

    Args:
        weight_OI: its weight.
        bias_O: its bias, where it has one.
        packed: whether to keep rearranged copies.
    """

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None, packed: bool) -> None:
        self.weight_OI, self.bias_O = weight_OI, bias_O
        self._forward = self._backward = None
        if packed:
            self._forward = torch.ops.mkldnn._reorder_linear_weight(weight_OI)
            turned_IO = weight_OI.T.contiguous()
            self._backward = torch.ops.mkldnn._reorder_linear_weight(turned_IO)

    def forward(self, x_MI: Tensor) -> Tensor:
        """[M, O]."""
        if self._forward is None:
            return linear(x_MI, self.weight_OI, self.bias_O)
        return _packed(x_MI, self._forward, self.bias_O)

    def added(self, x_MI: Tensor, to_MO: Tensor) -> Tensor:
        """[M, O], the product added to what is given."""
        if self._forward is not None:
            return torch.ops.mkldnn._linear_pointwise.binary(  # type: ignore[no-any-return]
                x_MI, to_MO, self._forward, self.bias_O, "add"
            )
        result = torch.addmm(to_MO, x_MI, self.weight_OI.T)
        return result if self.bias_O is None else result.add_(self.bias_O)

    def backward(self, gradient_MO: Tensor) -> Tensor:
        """[M, I] the gradient of x from that of the result."""
        if self._backward is None:
            return gradient_MO @ self.weight_OI
        return _packed(gradient_MO, self._backward, None)


def _packed(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return result
