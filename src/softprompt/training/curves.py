"""The curves of a run as a picture: loss, validation score, gradient norm, drift."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from softprompt.storage import write_bytes

__all__ = ["draw_curves"]


def draw_curves(records: Sequence[Mapping[str, Any]], path: Path, metric: str) -> None:
    """Writes a PNG of 4 panels over steps; does nothing without validations.

    Args:
        records: of metrics.jsonl.
        path: of the PNG.
        metric: name of the validation score.
    """
    rows = [record for record in records if record.get("kind") == "validation"]
    if not rows:
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), dpi=110, layout="constrained")
    axes = figure.subplots(2, 2).ravel()
    best = max(rows, key=lambda row: row["score"])
    panels = [
        ("training loss", "loss", "tab:blue"),
        (f"validation {metric}", "score", "tab:green"),
        ("gradient norm, mean per step", "gradient_norm", "tab:orange"),
    ]
    for axis, (title, name, colour) in zip(axes[:3], panels, strict=True):
        # Before the first step there are neither losses nor gradients.
        points = [(row["step"], row[name]) for row in rows if name in row]
        if points:
            axis.plot(*zip(*points, strict=True), marker="o", markersize=3, color=colour)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("step", fontsize=9)
        axis.grid(alpha=0.3)
    together = [(row["step"], row["together"]) for row in rows if "together" in row]
    if together:
        axes[1].plot(*zip(*together, strict=True), linestyle=":", color="tab:green")
        axes[1].set_title(f"validation {metric}: best prompt, all together (dotted)", fontsize=10)
    axes[1].axvline(best["step"], color="grey", linestyle="--", linewidth=1)
    axes[1].annotate(
        f"best {best['score']:.3f}",
        (best["step"], best["score"]),
        fontsize=9,
        xytext=(4, -12),
        textcoords="offset points",
    )
    drift = axes[3]
    # Leaders of a population may differ in their length.
    moved = [(row["step"], row["drift"]) for row in rows if "drift" in row]
    for place in range(max((len(drifts) for _, drifts in moved), default=0)):
        points = [(step, drifts[place]) for step, drifts in moved if drifts[place:]]
        drift.plot(*zip(*points, strict=True), linewidth=0.8, color="tab:purple")
    drift.set_title("drift of each vector, relative to its start", fontsize=10)
    drift.set_xlabel("step", fontsize=9)
    drift.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_bytes(path, buffer.getvalue())
