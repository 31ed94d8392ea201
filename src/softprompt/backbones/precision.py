"""Which floating-point precision this hardware computes fastest at equal quality.

Processors with AVX512-BF16 or AMX multiply bfloat16 several times faster than float32, others
slower: the choice is measured on products of the model's own size, not guessed. It knows nothing
of tasks; the caller writes the choice down so that a run keeps it.
"""

from __future__ import annotations

import time

import torch

__all__ = ["DTYPES", "fastest_dtype"]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_ROWS = 320  # a batch of 16 rows with 20 continued tokens each


def fastest_dtype(hidden_size: int, device: torch.device) -> str:
    """`"bf16"` or `"fp32"`: the faster of the two for a feed-forward product of this size.

    Args:
        hidden_size: D of the model; the product is [320, D] x [D, 4D] and back.
        device: where the model is going to run.
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type != "cpu":
        return "fp32"
    seconds = {name: float("inf") for name in ("fp32", "bf16")}
    # In turn, so that a busy moment of the machine slows both alike.
    for _ in range(8):
        for name, best in seconds.items():
            seconds[name] = min(best, _product_seconds(hidden_size, DTYPES[name]))
    # A small lead is not worth bfloat16's three significant digits.
    return "bf16" if seconds["bf16"] * 1.2 < seconds["fp32"] else "fp32"


def _product_seconds(hidden_size: int, dtype: torch.dtype) -> float:
    x = torch.randn(_ROWS, hidden_size, dtype=dtype)
    up = torch.randn(4 * hidden_size, hidden_size, dtype=dtype)
    down = torch.randn(hidden_size, 4 * hidden_size, dtype=dtype)
    with torch.no_grad():
        start = time.perf_counter()
        hidden = torch.nn.functional.silu(torch.nn.functional.linear(x, up))
        torch.nn.functional.linear(hidden, down)
        return time.perf_counter() - start
