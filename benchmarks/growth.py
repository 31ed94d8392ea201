"""How does the cost of training grow? With rows, input length, prompts and model size.

    python -m benchmarks.growth [--axes rows,tokens,prompts,size] [--plot PATH] [--json]

One quantity at a time grows from a common start: the 8M Llama shape, batches of 8 rows of 96 input
tokens and 2 answer tokens, one prompt of 16 vectors. Our suffix, our prefix and PEFT prompt tuning
take turns.

    rows       seconds of an epoch; contexts of all rows are cached
    tokens     seconds of a step
    prompts    seconds of a step of K prompts; PEFT takes K steps
    size       seconds of a step; grows with the model's parameters

Beside the time: what autograd keeps for the backward pass of one step (counted, not sampled, so the
same on every machine), what the cached contexts take, and the seconds that filling the cache took,
once. Each is fitted by `cost = factor * x ** exponent` (least squares of the logarithms, all
measurements of all points). An exponent holds for the range measured; small steps cost the same
whatever is in them.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, stdev
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.batch import ANSWER, VECTORS
from benchmarks.growth_plot import draw
from benchmarks.plain_loop import prompt_tuning_step
from benchmarks.report import show
from benchmarks.shapes import SIZES, build, build_model
from benchmarks.train_step import take_turns, training_loop
from softprompt.training.memory import kept_bytes

ROWS, TOKENS, SHAPE = 8, 96, "8M"
AXES: dict[str, tuple[int, ...]] = {
    "rows": (64, 128, 256, 512),
    "tokens": (48, 96, 192, 384, 768),
    "prompts": (1, 2, 4, 8, 16),
    "size": tuple(shape.parameters for shape in SIZES.values()),
}
UNITS = {
    "rows": "training rows",
    "tokens": "input tokens",
    "prompts": "prompts",
    "size": "parameters",
}
COSTS = ("seconds", "kept_bytes", "cache_bytes", "prefill_seconds")


@dataclass(frozen=True)
class Side:
    """What is timed.

    Args:
        step: one step.
        steps: that count as one measurement.
        weights: addresses of the model's, which a step does not make.
        cache_bytes: of all cached contexts.
        prefill_seconds: that computing them took.
    """

    step: Callable[[], object]
    steps: int
    weights: frozenset[int]
    cache_bytes: int = 0
    prefill_seconds: float = 0.0

    def run(self) -> None:
        """One measurement's steps."""
        for _ in range(self.steps):
            self.step()

    def kept_bytes(self) -> int:
        """What a step of a whole batch keeps for its backward pass."""

        def step() -> Tensor:
            self.step()
            return torch.empty(0)

        # An epoch may hold a batch of what was left over; of three steps one is whole.
        return max(kept_bytes(step, set(self.weights)) for _ in range(min(3, self.steps)))


def sides_at(axis: str, x: int, dtype: str) -> dict[str, Side]:
    """The three sides where the quantity of an axis is `x` and the others are at the start."""
    names = {shape.parameters: name for name, shape in SIZES.items()}
    shape = SIZES[names[x] if axis == "size" else SHAPE]
    tokens = x if axis == "tokens" else TOKENS
    count = x if axis == "prompts" else 1
    sides = {}
    backbone = build(shape, dtype)
    for placement in ("suffix", "prefix"):
        loop, prefill = training_loop(
            backbone, placement, count, ROWS, tokens, held=x if axis == "rows" else ROWS
        )
        steps = loop.per_epoch if axis == "rows" else 1
        cached = loop.rows.contexts.bytes
        weights = _weights(backbone.model)
        sides[placement] = Side(loop.train_step, steps, weights, cached, prefill)
    model = build_model(shape, dtype)
    steps = -(-x // ROWS) if axis == "rows" else count
    step = prompt_tuning_step(model, ROWS, tokens)
    return {**sides, "peft": Side(step, steps, _weights(model))}


def _weights(model: Any) -> frozenset[int]:
    tensors = model.state_dict().values()
    return frozenset(tensor.untyped_storage().data_ptr() for tensor in tensors)


def measure_point(axis: str, x: int, dtype: str, repeats: int) -> dict[str, Any]:
    """All costs of all sides at one point."""
    sides = sides_at(axis, x, dtype)
    seconds = take_turns([side.run for side in sides.values()], repeats)
    return {
        "x": x,
        "sides": {
            name: {
                "seconds": round(median(taken), 6),
                "spread": round(stdev(taken), 6) if len(taken) > 1 else None,
                "all_seconds": [round(one, 6) for one in taken],
                "kept_bytes": side.kept_bytes(),
                "cache_bytes": side.cache_bytes,
                "prefill_seconds": round(side.prefill_seconds, 6),
            }
            for (name, side), taken in zip(sides.items(), seconds, strict=True)
        },
    }


def fit(xs: Sequence[float], ys: Sequence[float]) -> dict[str, float | None] | None:
    """The exponent of a power law with its standard error, and its factor.

    Returns:
        None where there is nothing to fit: one place only, or a cost that is 0.
    """
    if len(set(xs)) < 2 or min(ys) <= 0:
        return None
    x, y = np.log(np.asarray(xs, float)), np.log(np.asarray(ys, float))
    exponent, start = np.polyfit(x, y, 1)
    error = None
    if len(x) > 2:
        rest = ((y - start - exponent * x) ** 2).sum() / (len(x) - 2)
        error = round(math.sqrt(rest / ((x - x.mean()) ** 2).sum()), 3)
    return {
        "exponent": round(float(exponent), 3),
        "error": error,
        "factor": float(f"{math.exp(start):.4g}"),
    }


def exponents(points: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By side and cost: the fitted power law, None where there is none."""
    found: dict[str, dict[str, Any]] = {}
    for name in points[0]["sides"]:
        found[name] = {}
        for cost in COSTS:
            pairs = [
                (point["x"], value)
                for point in points
                for value in (
                    point["sides"][name]["all_seconds"]
                    if cost == "seconds"
                    else [point["sides"][name][cost]]
                )
            ]
            found[name][cost] = fit([x for x, _ in pairs], [y for _, y in pairs])
    return found


def main() -> None:
    """Measures all points of all axes and reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--axes", default=",".join(AXES))
    parser.add_argument("--dtype", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--plot", type=Path, help="file for the curves (PNG)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    axes: dict[str, Any] = {}
    for axis in arguments.axes.split(","):
        points = [measure_point(axis, x, arguments.dtype, arguments.repeats) for x in AXES[axis]]
        axes[axis] = {"unit": UNITS[axis], "points": points, "exponents": exponents(points)}
    if arguments.plot:
        draw(axes, arguments.plot)
    details = {
        "axes": axes,
        "start": {"shape": SHAPE, "batch": ROWS, "tokens": TOKENS, "prompts": 1},
        "dtype": arguments.dtype,
        "vectors": VECTORS,
        "answer_tokens": ANSWER,
    }
    if arguments.json:
        show([], details, as_json=True)
    else:
        print(table(axes))


def table(axes: dict[str, Any]) -> str:
    """Milliseconds at both ends, and the exponents of time, kept memory and cache."""
    head = "".join(f"{name:>{width}}" for name, width in _COLUMNS.items())
    lines = [f"{'axis':<8} {'side':<7}{head}"]
    for axis, about in axes.items():
        first, last = about["points"][0], about["points"][-1]
        for side, fitted in about["exponents"].items():
            cells = [
                _count(first["x"]),
                _count(last["x"]),
                f"{1000 * first['sides'][side]['seconds']:.1f}",
                f"{1000 * last['sides'][side]['seconds']:.1f}",
                _power(fitted["seconds"], error=True),
                *(_power(fitted[cost]) for cost in ("kept_bytes", "cache_bytes")),
            ]
            row = "".join(f"{c:>{w}}" for c, w in zip(cells, _COLUMNS.values(), strict=True))
            lines.append(f"{axis:<8} {side:<7}{row}")
    return "\n".join(lines)


_COLUMNS = {"from": 6, "to": 6, "ms": 9, "ms there": 10, "time ~ x^": 14, "kept": 8, "cache": 8}


def _count(number: int) -> str:
    return f"{number / 1e6:.0f}M" if number >= 1_000_000 else str(number)


def _power(fitted: dict[str, float | None] | None, *, error: bool = False) -> str:
    if fitted is None:
        return "-"
    spread = fitted["error"] if error else None
    return f"{fitted['exponent']:.2f}" + (f" ± {spread:.2f}" if spread is not None else "")


if __name__ == "__main__":
    main()
