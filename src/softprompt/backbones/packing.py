"""Contexts in fewer bits: what a cache holds may be smaller than what the model computes with.

    half     bfloat16, which keeps the range of fp32 and 8 of its 24 bits
    eight    x = scale * q with whole numbers q from -127 to 127, one scale for each vector [d]

A packed context is close to the exact one, not equal: packing is a choice, never a default. It does
not know where contexts are kept.

Shapes: B rows, H key-value heads, T tokens, d head size.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from softprompt.backbones.context import Context

__all__ = ["Precision", "pack", "unpack"]

Precision = Literal["full", "half", "eight"]

_LARGEST = 127


def pack(context: Context, precision: Precision) -> Context:
    """The context in a precision; as it is for `full` and where it is no larger."""
    if precision == "eight":
        pairs = [_eight(x) for x in (*context.keys, *context.values)]
        numbers, scales = ([pair[part] for pair in pairs] for part in (0, 1))
        layers = len(context.keys)
        return replace(
            context,
            keys=tuple(numbers[:layers]),
            values=tuple(numbers[layers:]),
            key_scales=tuple(scales[:layers]),
            value_scales=tuple(scales[layers:]),
        )
    if precision == "half" and any(x.element_size() > 2 for x in context.keys):
        return context.each(lambda x: x.to(torch.bfloat16))
    return context


def unpack(context: Context, dtype: torch.dtype) -> Context:
    """The context as a model of that precision continues it; as it is where it was not packed."""
    if context.key_scales:
        keys, values = (
            tuple(q.to(dtype) * scale.to(dtype) for q, scale in zip(numbers, scales, strict=True))
            for numbers, scales in (
                (context.keys, context.key_scales),
                (context.values, context.value_scales),
            )
        )
        return Context(keys, values, context.lengths_B)
    if any(x.dtype != dtype for x in context.keys):
        return context.each(lambda x: x.to(dtype))
    return context


def _eight(x_BHTd: Tensor) -> tuple[Tensor, Tensor]:
    """[B, H, T, d] whole numbers and [B, H, T, 1] scales in fp32."""
    x_BHTd = x_BHTd.float()
    scale_BHT1 = x_BHTd.abs().amax(-1, keepdim=True).clamp_min(1e-12) / _LARGEST
    return (x_BHTd / scale_BHT1).round().to(torch.int8), scale_BHT1
