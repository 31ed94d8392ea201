"""Charts as inline SVG, written by hand: quality against cost, learning curves, forgetting.

They draw numbers of the report; colours are told apart by shape and label as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from softprompt.comparison.words import clock, named
from softprompt.evaluation import interval_of
from softprompt.locale import _, number, percent

__all__ = ["bars", "lines", "scatter"]

_WIDTH, _HEIGHT = 720, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 160, 16, 44
_COLOURS = (
    "#0b6e4f", "#3467c2", "#c2571a", "#8a4fbf", "#a33a5a", "#6b7a1e", "#2f8f9d", "#8c6d3f", "#777",
    "#1f3a5f", "#d08c2e",
)  # fmt: skip

Scale = Callable[[float], float]


def scatter(found: Mapping[str, Any]) -> str:
    """Each method's score with its interval over the seconds of search and training."""
    metric, methods = found["metric"], found["methods"]
    points = []
    for name, method in methods.items():
        test, seconds = method["test"], method["seconds"] or {}
        spent = max(0.1, seconds.get("search", 0.0) + seconds.get("training", 0.0))
        bounds = interval_of(test, metric) or [test[metric], test[metric]]
        points.append((name, spent, test[metric], bounds))
    x = _logarithmic([point[1] for point in points])
    y = _linear([bound for point in points for bound in point[3]] + [p[2] for p in points])
    drawn = [_axes(x, y, [p[1] for p in points], clock, _("search and training time"))]
    placed: list[tuple[float, float]] = []
    for name, spent, score, (low, high) in sorted(points, key=lambda p: -p[2]):
        colour, left, top = _colour(found, name), x(spent), y(score)
        drawn.append(
            f'<line x1="{left:.1f}" x2="{left:.1f}" y1="{y(low):.1f}" y2="{y(high):.1f}" '
            f'stroke="{colour}" stroke-width="2"/>'
            f'<circle cx="{left:.1f}" cy="{top:.1f}" r="5" fill="{colour}"/>'
        )
        drawn.append(_label(left + 9, _free(top, left, placed), named(name)))
    return _figure(drawn, _("Each method's score on the test rows with its 95% interval."))


def lines(found: Mapping[str, Any]) -> str:
    """Each method's score over the training rows."""
    curves = {name: [(float(n), s) for n, s in curve] for name, curve in found["curves"].items()}
    sizes = [n for curve in curves.values() for n, _ in curve]
    x, y = _logarithmic(sizes), _linear([s for curve in curves.values() for _, s in curve])
    drawn = [_axes(x, y, sizes, number, _("training rows"))]
    placed: list[tuple[float, float]] = []
    for name, curve in sorted(curves.items(), key=lambda item: -item[1][-1][1]):
        colour = _colour(found, name)
        path = " ".join(f"{x(n):.1f},{y(score):.1f}" for n, score in curve)
        drawn.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
            + "".join(
                f'<circle cx="{x(n):.1f}" cy="{y(score):.1f}" r="3.5" fill="{colour}"/>'
                for n, score in curve
            )
        )
        last, score = curve[-1]
        drawn.append(_label(x(last) + 9, _free(y(score), x(last), placed), named(name)))
    return _figure(drawn, _("Score on the test rows by number of training rows."))


def bars(found: Mapping[str, Any]) -> str:
    """How much the loss on general text grows, attached and detached."""
    rows = []
    for name, method in found["methods"].items():
        if method["forgetting"]:
            loss = method["forgetting"]["loss"]
            grown = [
                None if loss[state] is None else loss[state] - loss["untouched"]
                for state in ("attached", "detached")
            ]
            rows.append((name, grown, loss.get("change_interval") or ()))
    changes = [g for _, grown, bounds in rows for g in (*grown, *bounds) if g is not None]
    left, width, step = 170, 430, 40
    height = step * len(rows) + 40
    up, down = max([0.0, *changes]), -min([0.0, *changes])
    # One scale on both sides of zero.
    scale = width / max(up + down, 1e-9)
    zero = left + scale * down
    drawn = []
    for place, (name, grown, bounds) in enumerate(rows):
        top = 10 + place * step
        drawn.append(_label(left - 8, top + 17, named(name), anchor="end"))
        for part, value in enumerate(grown):
            if value is None:
                continue
            long = abs(value) * scale
            start = zero - long if value < 0 else zero
            colour = _colour(found, name)
            opacity = (1.0, 0.45)[part]
            drawn.append(
                f'<rect x="{start:.1f}" y="{top + 13 * part}" width="{max(long, 0.6):.1f}" '
                f'height="11" fill="{colour}" fill-opacity="{opacity}"/>'
            )
            end = zero + 6 if value < 0 else start + long + 6
            if bounds and not part:
                low, high = (zero + bound * scale for bound in bounds)
                drawn.append(
                    f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{top + 5.5}" y2="{top + 5.5}" '
                    f'stroke="currentColor"/>'
                )
                end = max(end, high + 6)
            drawn.append(_label(end, top + 13 * part + 10, _signed(value), small=True))
    base = height - 24
    drawn.append(f'<line x1="{zero:.1f}" x2="{zero:.1f}" y1="4" y2="{base}" stroke="#999"/>')
    drawn.append(_label(left, height - 6, _("nats per token more than the untouched model")))
    caption = _(
        "Upper bar: attached, its line the 95% interval; lower, paler bar: detached, where that "
        "is possible."
    )
    return _figure(drawn, caption, height)


def _signed(value: float) -> str:
    return ("+" if round(value, 3) > 0 else "") + number(value, 3)


def _colour(found: Mapping[str, Any], name: str) -> str:
    return _COLOURS[list(found["methods"]).index(name) % len(_COLOURS)]


def _linear(values: Sequence[float]) -> Scale:
    low, high = min(values), max(values)
    low, high = max(0.0, low - 0.05), min(1.0, high + 0.05)
    span = max(high - low, 1e-9)
    height = _HEIGHT - _TOP - _BOTTOM
    return lambda value: _TOP + height * (1 - (value - low) / span)


def _logarithmic(values: Sequence[float]) -> Scale:
    low, high = math.log(min(values)), math.log(max(values))
    span = max(high - low, 1e-9)
    width = _WIDTH - _LEFT - _RIGHT
    if high - low < 1e-9:
        return lambda value: _LEFT + width / 2
    return lambda value: _LEFT + 12 + (width - 12) * (math.log(value) - low) / span


def _axes(
    x: Scale, y: Scale, values: Sequence[float], told: Callable[[float], str], title: str
) -> str:
    """Lines at every twentieth of the score, and what stands below some values."""
    right, base = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    drawn = []
    for tick in range(21):
        level = y(tick / 20)
        if _TOP - 1 <= level <= base + 1:
            drawn.append(
                f'<line x1="{_LEFT}" x2="{right}" y1="{level:.1f}" y2="{level:.1f}" '
                'stroke="#999" stroke-opacity="0.3"/>'
            )
            label = percent(tick / 20, 0)
            drawn.append(_label(_LEFT - 8, level + 4, label, anchor="end", small=True))
    last = -math.inf
    for value in sorted(set(values)):
        place = x(value)
        if place - last > 55:
            drawn.append(_label(place, base + 18, told(value), anchor="middle", small=True))
            last = place
    drawn.append(_label((_LEFT + right) / 2, _HEIGHT - 6, title, anchor="middle"))
    return "".join(drawn)


def _free(wanted: float, left: float, placed: list[tuple[float, float]]) -> float:
    """A height for a label where no other one stands, noted among those placed."""
    top = wanted + 4
    while any(abs(top - other) < 14 and abs(left - at) < 130 for at, other in placed):
        top += 4
    placed.append((left, top))
    return top


def _label(
    left: float, top: float, text: str, *, anchor: str = "start", small: bool = False
) -> str:
    dim = ' class="dim"' if small else ""
    return f'<text x="{left:.1f}" y="{top:.1f}" text-anchor="{anchor}"{dim}>{escape(text)}</text>'


def _figure(drawn: Sequence[str], caption: str, height: int = _HEIGHT) -> str:
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {height}" role="img" width="{_WIDTH}" '
        f'aria-label="{escape(caption)}">{"".join(drawn)}</svg>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
