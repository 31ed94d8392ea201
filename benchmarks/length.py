"""How long should a prompt be? 1 to 64 vectors by task: when more stops paying, how few suffice.

    python -m benchmarks.length [--data FOLDER] [--plot FILE] [--json]

Suffix prompts. Each length trains a population of three with three learning rates, of which the
best is kept, so that no length is handicapped by a rate that suits another. A length suffices where
its mean is within a point of the best length's; more stops paying at the first length from which
doubling gains less than a point, and every later one too.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from benchmarks.data import METRIC
from benchmarks.sides import Side
from benchmarks.studies import Study, add_arguments, finish, mean_spread
from benchmarks.study_plot import Panel, draw

LENGTHS = (1, 2, 4, 8, 16, 32, 64)
POINT = 1.0
Points = Mapping[int, Sequence[float]]
"""Test points of the seeds by length."""


def side(length: int) -> Side:
    """A prompt of that many vectors."""
    return Side(
        f"length-{length}",
        f"{length} vectors",
        prompt={"length": length},
        training={"population": 3, "survivors": 3, "ensemble": "off", "readout": "off"},
    )


def main() -> None:
    """Measures what is missing and reports everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    add_arguments(parser, "vsfc,sst2")
    parser.add_argument("--lengths", default=",".join(map(str, LENGTHS)))
    arguments = parser.parse_args()
    study, about = Study.of(arguments)
    lengths = [int(length) for length in arguments.lengths.split(",")]
    table = {
        name: {length: study.points(name, side(length), arguments.seeds) for length in lengths}
        for name in arguments.tasks.split(",")
    }
    details = {
        **about,
        "points": table,
        "suffices": {name: suffices(points) for name, points in table.items()},
        "stops": {name: stops(points) for name, points in table.items()},
        "missing": {
            name: study.why_missing(name)
            for name, points in table.items()
            if any(len(found) < arguments.seeds for found in points.values())
        },
    }
    finish(
        arguments,
        [],
        details,
        finding=finding(table),
        table=shown(table, lengths),
        draw=lambda path: _draw(table, path),
    )


def suffices(points: Points) -> int | None:
    """The shortest length within a point of the best; None where nothing was measured."""
    means = {length: fmean(found) for length, found in points.items() if found}
    if not means:
        return None
    best = max(means.values())
    return min(length for length, mean in means.items() if mean >= best - POINT)


def stops(points: Points) -> int | None:
    """The first length from which no step to the next gains a point; None without two lengths."""
    lengths = [length for length in sorted(points) if points[length]]
    if len(lengths) < 2:
        return None
    means = [fmean(points[length]) for length in lengths]
    best, last = means[0], 0
    for place, mean in enumerate(means):
        # Beside the best of all shorter ones: what follows a dip is no gain.
        if mean - best >= POINT:
            last = place
        best = max(best, mean)
    return lengths[last]


def finding(table: Mapping[str, Points]) -> str:
    """What the table comes to, in sentences."""
    said = []
    for name, points in table.items():
        few, end = suffices(points), stops(points)
        if few is None:
            continue
        best = max((n for n in points if points[n]), key=lambda n: fmean(points[n]))
        text = f"{name}: {few} vectors are within a point of the best length ({best})"
        longest = max(n for n in points if points[n])
        if end == longest:
            text += f", and more still paid at {longest}, the longest tried"
        elif end is not None:
            text += f"; beyond {end} more did not pay"
        said.append(text + ".")
    return " ".join(said) or "Nothing was measured yet."


def shown(table: Mapping[str, Points], lengths: Sequence[int]) -> str:
    """Mean and standard deviation of every length."""
    lines = [f"{'vectors':<9}" + "".join(f"{name:>14}" for name in table)]
    for length in lengths:
        cells = "".join(f"{mean_spread(points.get(length, [])):>14}" for points in table.values())
        lines.append(f"{length:<9}{cells}")
    return "\n".join(lines)


def _draw(table: Mapping[str, Points], path: Path) -> None:
    panels = [
        Panel(name, "vectors", f"points of {METRIC[name]}", lines={"suffix": points}, log=2)
        for name, points in table.items()
    ]
    draw(panels, path)


if __name__ == "__main__":
    main()
