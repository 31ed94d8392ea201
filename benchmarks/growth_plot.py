"""The picture of `benchmarks.growth`: time above, memory below, one column for each axis.

It draws what was measured and fits nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

__all__ = ["draw"]

_MARKS = {"suffix": "o", "prefix": "s", "peft": "^"}
_NAMES = {"suffix": "suffix", "prefix": "prefix", "peft": "PEFT prompt tuning"}


def draw(axes: Mapping[str, Any], path: Path) -> None:
    """Writes the curves to a file.

    Args:
        axes: by name what `benchmarks.growth` measured: `unit`, `points`, `exponents`.
        path: whose ending gives the format.
    """
    figure = Figure(figsize=(4 * len(axes), 7), layout="constrained")
    grid = figure.subplots(2, len(axes), squeeze=False)
    for column, (name, about) in enumerate(axes.items()):
        span = "an epoch" if name == "rows" else "a step"
        _lines(grid[0][column], about, "seconds", f"seconds of {span}", 1.0)
        _lines(grid[1][column], about, "memory", "MB kept by a step and cached", 1e6)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _lines(panel: Any, about: Mapping[str, Any], cost: str, label: str, unit: float) -> None:
    """One panel: a line for each side, its exponent in the legend where it is of the time."""
    points = about["points"]
    xs = [point["x"] for point in points]
    for side in points[0]["sides"]:
        measured = [point["sides"][side] for point in points]
        ys = [
            (one["kept_bytes"] + one["cache_bytes"] if cost == "memory" else one[cost]) / unit
            for one in measured
        ]
        fitted = about["exponents"][side].get(cost)
        power = f", exponent {fitted['exponent']:.2f}" if fitted else ""
        panel.plot(xs, ys, marker=_MARKS.get(side, "x"), label=_NAMES.get(side, side) + power)
        if cost == "seconds":
            least, most = (
                [pick(one["all_seconds"]) / unit for one in measured] for pick in (min, max)
            )
            panel.fill_between(xs, least, most, alpha=0.15)
    panel.set_xscale("log", base=2 if max(xs) < 10_000 else 10)
    panel.set_yscale("log")
    if max(xs) < 10_000:
        panel.xaxis.set_major_formatter(ScalarFormatter())
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set_xticks(xs)
    panel.set_xlabel(about["unit"])
    panel.set_ylabel(label)
    panel.grid(True, alpha=0.3)
    panel.legend(fontsize="small")
