"""What does bad data cost? Wrong labels and irrelevant rows: prompt, LoRA and full tuning.

    python -m benchmarks.noise [--data FOLDER] [--plot FILE] [--json]

0, 10, 20 and 30% of the training rows are changed: a wrong label is drawn from the others; an
irrelevant row is a text of another task with a label drawn from all. A larger share changes the
rows of a smaller one and more. Validation and test rows stay as they are, so what is measured is
what learning makes of the rows, not what choosing on bad rows adds.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean

from benchmarks.data import METRIC, has_data
from benchmarks.sides import FULL, LORA, SUFFIX, Side
from benchmarks.studies import Study, add_arguments, finish, mean_spread
from benchmarks.study_plot import Panel, draw
from softprompt.tasks import Row, Task

SHARES = (0, 10, 20, 30)
SIDES = (SUFFIX, LORA, FULL)
OTHER = {"vsfc": "sst2", "sst2": "vsfc", "agnews": "sst2", "vsfc_topic": "sst2"}
"""Where irrelevant texts come from."""
Points = Mapping[int, Sequence[float]]
"""Test points of the seeds by percentage of changed rows."""


def main() -> None:
    """Measures what is missing and reports everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    add_arguments(parser, "vsfc")
    parser.add_argument("--kinds", default="wrong,irrelevant")
    arguments = parser.parse_args()
    study, about = Study.of(arguments)
    table = {
        name: {
            kind: {side.name: _points(study, name, kind, side, arguments.seeds) for side in SIDES}
            for kind in arguments.kinds.split(",")
        }
        for name in arguments.tasks.split(",")
    }
    details = {
        **about,
        "points": table,
        "missing": {
            name: study.why_missing(name)
            for name, kinds in table.items()
            if any(
                len(found) < arguments.seeds
                for sides in kinds.values()
                for points in sides.values()
                for found in points.values()
            )
        },
    }
    finish(
        arguments,
        [],
        details,
        finding=finding(table),
        table=shown(table),
        draw=lambda path: _draw(table, path),
    )


def _points(study: Study, name: str, kind: str, side: Side, seeds: int) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    for share in SHARES:
        found[share] = []
        for seed in range(seeds):
            change = partial(_changed, study, name, kind, share)
            changed = (f"{kind}-{share}", change) if share else None
            possible = kind == "wrong" or not share or has_data(OTHER[name], study.data)
            # With whole rows too a trained side comes from the loop that trains on bad ones.
            able = study if side is SUFFIX else replace(study, earlier=None)
            cell = (able if possible else able.reading()).side(name, side, seed, changed)
            if cell is not None:
                found[share].append(100 * float(cell["test"][METRIC[name]]))
    return found


def _changed(study: Study, name: str, kind: str, share: int, task: Task, seed: int) -> Task:
    if kind == "wrong":
        return with_wrong_labels(task, share, seed)
    other = study.task(OTHER[name], seed)
    texts = [row.columns[other.inputs[0]] for row in other.train]
    return with_irrelevant_rows(task, texts, share, seed)


def with_wrong_labels(task: Task, share: int, seed: int) -> Task:
    """The task with a percentage of its training labels replaced by others."""

    def change(row: Row, rng: random.Random) -> Row:
        return replace(row, answer=rng.choice([x for x in task.labels if x != row.answer]))

    return _replaced(task, share, seed, change)


def with_irrelevant_rows(task: Task, texts: Sequence[str], share: int, seed: int) -> Task:
    """The task with a percentage of its training rows replaced by foreign texts, labels drawn."""

    def change(row: Row, rng: random.Random) -> Row:
        columns = {**row.columns, task.inputs[0]: rng.choice(texts)}
        return replace(row, columns=columns, answer=rng.choice(task.labels))

    return _replaced(task, share, seed, change)


def _replaced(
    task: Task, share: int, seed: int, change: Callable[[Row, random.Random], Row]
) -> Task:
    rng = random.Random(seed)
    order = list(range(len(task.train)))
    rng.shuffle(order)
    rows = list(task.train)
    for place in order[: round(len(rows) * share / 100)]:
        rows[place] = change(rows[place], rng)
    return replace(task, train=tuple(rows))


def lost(points: Points) -> float | None:
    """Mean points lost from no changed rows to the most, of the seeds that have both; None where
    none has."""
    both = list(zip(points.get(SHARES[0], ()), points.get(SHARES[-1], ()), strict=False))
    return fmean(before - after for before, after in both) if both else None


def finding(table: Mapping[str, Mapping[str, Mapping[str, Points]]]) -> str:
    """What the table comes to, in sentences."""
    titles = {side.name: side.title for side in SIDES}
    words = {"wrong": "wrong labels", "irrelevant": "irrelevant rows"}
    said = []
    for name, kinds in table.items():
        for kind, sides in kinds.items():
            losses = {s: x for s, points in sides.items() if (x := lost(points)) is not None}
            if not losses:
                continue
            order = sorted(losses, key=lambda s: losses[s])
            listed = ", ".join(f"{titles[s]} {losses[s]:.1f}" for s in order)
            said.append(f"{name}: with {SHARES[-1]}% {words[kind]}, points lost: {listed}.")
    return " ".join(said) or "Nothing was measured yet."


def shown(table: Mapping[str, Mapping[str, Mapping[str, Points]]]) -> str:
    """Mean and standard deviation of every side at every share."""
    head = "".join(f"{share:>13}%" for share in SHARES)
    lines = [f"{'task':<11}{'rows':<12}{'side':<8}{head}"]
    for name, kinds in table.items():
        for kind, sides in kinds.items():
            for side, points in sides.items():
                cells = "".join(f"{mean_spread(points.get(x, [])):>14}" for x in SHARES)
                lines.append(f"{name:<11}{kind:<12}{side:<8}{cells}")
    return "\n".join(lines)


def _draw(table: Mapping[str, Mapping[str, Mapping[str, Points]]], path: Path) -> None:
    panels = [
        Panel(f"{name}, {kind}", "% of rows", f"points of {METRIC[name]}", lines=sides)
        for name, kinds in table.items()
        for kind, sides in kinds.items()
    ]
    draw(panels, path)


if __name__ == "__main__":
    main()
