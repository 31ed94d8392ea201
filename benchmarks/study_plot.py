"""Pictures of the studies: lines with their spread, or bars; one panel for each task.

It draws what it is given and fits nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

__all__ = ["Panel", "draw"]


@dataclass(frozen=True)
class Panel:
    """One panel.

    Args:
        title: above it.
        x, y: what the axes show.
        lines: by name, the values measured at each place on the x axis.
        bars: by name, the values measured; drawn instead of lines.
        log: base of the x axis; None for a plain one.
        ticks: whether every place that was measured is marked on the x axis.
    """

    title: str
    x: str
    y: str
    lines: Mapping[str, Mapping[Any, Sequence[float]]] = field(default_factory=dict)
    bars: Mapping[str, Sequence[float]] = field(default_factory=dict)
    log: int | None = None
    ticks: bool = True


def draw(panels: Sequence[Panel], path: Path) -> None:
    """Writes panels side by side to a file, whose ending gives the format."""
    figure = Figure(figsize=(4.6 * max(1, len(panels)), 4.2), layout="constrained")
    axes = figure.subplots(1, max(1, len(panels)), squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=False):
        if panel.bars:
            _bars(axis, panel)
        else:
            _lines(axis, panel)
        axis.set_title(panel.title)
        axis.grid(True, alpha=0.3)
    figure.savefig(path, dpi=120)


def _lines(axis: Any, panel: Panel) -> None:
    places: set[float] = set()
    for name, by_place in panel.lines.items():
        xs = sorted(x for x, values in by_place.items() if values)
        places.update(xs)
        means = [fmean(by_place[x]) for x in xs]
        spreads = [stdev(by_place[x]) if len(by_place[x]) > 1 else 0.0 for x in xs]
        axis.errorbar(xs, means, yerr=spreads, marker="o", capsize=3, label=name)
    if panel.log:
        axis.set_xscale("log", base=panel.log)
        if panel.log == 2:
            axis.xaxis.set_major_formatter(ScalarFormatter())
            axis.xaxis.set_minor_formatter(NullFormatter())
    if panel.ticks and panel.log != 10 and places:
        axis.set_xticks(sorted(places))
    axis.set_xlabel(panel.x)
    axis.set_ylabel(panel.y)
    if panel.lines:
        axis.legend(fontsize="small")


def _bars(axis: Any, panel: Panel) -> None:
    kept = {name: values for name, values in panel.bars.items() if values}
    for place, values in enumerate(kept.values()):
        axis.barh(place, fmean(values), color="tab:blue", alpha=0.4)
        axis.plot(values, [place] * len(values), "k.", markersize=4)
    axis.set_yticks(range(len(kept)), list(kept))
    axis.invert_yaxis()
    axis.set_xlabel(panel.y)
