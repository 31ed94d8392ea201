"""A readout: rows that read a label from what the frozen model has made of a text already.

    x        mean and standard deviation, over a context's tokens, of the cached values of its
             layers, [F]
    log q(c) = log softmax over c of (x . row c + bias c)
    p(c)     = (mean over the prompts of p_k(c) + q(c)) / 2

A prompt decides where frozen layers look and what they add; it cannot choose which direction of a
hidden state means which label. A readout can, and x is a constant of the frozen model that the
cache holds. It stands where the whole text is context: before a suffix. It does not know how it was
fitted.

Shapes: B rows, C choices, L layers, J key-value heads, d head size, F numbers read of a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from softprompt.backbones import Backbone, Context

__all__ = ["Readout", "numbers_read", "read_values", "without_readout"]

WEIGHT, BIAS = "readout.weight", "readout.bias"
MOST_NUMBERS = 8192
"""Values of a position that are read at most: of large models evenly spaced layers."""


@dataclass(frozen=True, eq=False)
class Readout:
    """Rows and biases, one a choice.

    Args:
        weight_CF: [C, F] fp32; [C, F / 2] where means alone are read, as up to format 6.
        bias_C: [C] fp32.
    """

    weight_CF: Tensor
    bias_C: Tensor

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Readout | None:
        """The readout among an artifact's tensors; None where there is none."""
        weight_CF, bias_C = tensors.get(WEIGHT), tensors.get(BIAS)
        return None if weight_CF is None or bias_C is None else cls(weight_CF, bias_C)

    def tensors(self) -> dict[str, Tensor]:
        """Its tensors under the names that an artifact gives them."""
        return {WEIGHT: self.weight_CF.contiguous(), BIAS: self.bias_C.contiguous()}

    def fits(self, backbone: Backbone) -> bool:
        """Whether its rows are as wide as what is read of the backbone, or as the means alone."""
        numbers = numbers_read(backbone)
        return self.weight_CF.shape[1] in (numbers, numbers // 2)

    @torch.no_grad()
    def logits(self, backbone: Backbone, context: Context) -> Tensor:
        """[B, C] fp32, on the CPU, for rows whose texts are those contexts.

        Args:
            backbone: whose contexts they are.
            context: whole, nothing of the text left out.
        """
        values_BF = read_values(backbone, context)[:, : self.weight_CF.shape[1]]
        return torch.addmm(self.bias_C, values_BF, self.weight_CF.T)


def without_readout(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An artifact's tensors without the readout's."""
    return {name: tensor for name, tensor in tensors.items() if name not in (WEIGHT, BIAS)}


@torch.no_grad()
def read_values(backbone: Backbone, context: Context) -> Tensor:
    """[B, F] fp32, on the CPU: over each row's tokens the means of the values of some layers, and
    then their standard deviations.

    The opening token is left out: its state is of another size and the same for all texts.

    Args:
        backbone: whose layers count.
        context: of B rows.
    """
    layers = _layers(backbone)
    if not context.width:
        return torch.zeros(context.rows, numbers_read(backbone))
    place_T = torch.arange(context.width, device=context.lengths_B.device)
    skipped = 0 if backbone.bos is None else 1
    # A row of nothing but the opening token is read whole.
    first_B = (context.lengths_B > skipped).long() * skipped
    seen_BT = (place_T >= first_B[:, None]) & (place_T < context.lengths_B[:, None])
    share_BT = seen_BT.float() / seen_BT.sum(1, keepdim=True).clamp(min=1)
    means, spreads = [], []
    for layer in layers:
        values_BJTd = context.values[layer].float()
        share = share_BT.to(values_BJTd.device)
        mean_BJd = torch.einsum("bjtd,bt->bjd", values_BJTd, share)
        apart_BJTd = (values_BJTd - mean_BJd[:, :, None]).square_()
        spread_BJd = torch.einsum("bjtd,bt->bjd", apart_BJTd, share).sqrt_()
        means.append(mean_BJd.flatten(1))
        spreads.append(spread_BJd.flatten(1))
    return torch.cat([*means, *spreads], 1).cpu()


def numbers_read(backbone: Backbone) -> int:
    """F of a backbone: two for each value of a position that is read."""
    return 2 * sum(backbone.value_numbers[n] for n in _layers(backbone))


def _layers(backbone: Backbone) -> list[int]:
    """Layers that are read: all, or as many, evenly spaced, as fit into MOST_NUMBERS."""
    sizes = backbone.value_numbers
    count = len(sizes)
    while count > 1 and sum(sizes[n] for n in _spaced(len(sizes), count)) > MOST_NUMBERS:
        count -= 1
    return _spaced(len(sizes), count)


def _spaced(layers: int, count: int) -> list[int]:
    """So many places, evenly spaced, the last among them."""
    return [layers - 1 - round(n * layers / count) for n in reversed(range(count))]
