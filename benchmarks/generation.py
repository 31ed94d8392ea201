"""Writing freely: in what order do methods learn to translate, head, report, keep to a form?

    python -m benchmarks.generation [--data FOLDER] [--plot FILE] [--json]

Small budgets: 500 training rows, 60 of validation (BoolQ 204, since choosing is fast), 200 of test,
and prompts of a population of three, where the default has more. The best of several hand prompts,
four examples in context, suffix prompts of three lengths, LoRA and full fine-tuning. Translation is
judged by chrF, headline and report by ROUGE-L, record and note by exact match; beside it stand
adherence to the task's format and to its fixed terms. `headline` and `report` are two prompts of
one model over the same texts. BoolQ (yes or no, long passages) is judged by accuracy. With a model
as small as `nano` it is the order of the methods that counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.data import METRIC
from benchmarks.generation_tasks import SOURCES, task_of
from benchmarks.sides import FULL, HAND, K_SHOT, LORA, SUFFIX, Cell, Side
from benchmarks.studies import Study, add_arguments, finish, mean_spread
from benchmarks.study_plot import Panel, draw
from softprompt.prompts.config import CHOOSING

VALIDATION_ROWS = 60
CHOICES = "boolq"
TASKS = (*SOURCES, CHOICES)
FEW = {"population": 3, "survivors": 2}
SHORTER = (
    Side("short", "prompt (8 vectors)", prompt={"length": CHOOSING}, training=FEW),
    Side("middle", "prompt (16 vectors)", prompt={"length": 16}, training=FEW),
)
"""Than a prompt for free text is by default; BoolQ has choices, and its prompt is short anyway."""
SIDES = (
    HAND,
    K_SHOT,
    *SHORTER,
    replace(SUFFIX, name="soft", title="prompt (32, choices 8)", training=FEW),
    LORA,
    FULL,
)
ADHERENCE = ("format_adherence", "term_adherence", "term_precision")
Cells = Mapping[str, Sequence[Cell]]
"""Finished cells of a task by side."""


def main() -> None:
    """Measures what is missing and reports everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    add_arguments(parser, ",".join(TASKS))
    parser.set_defaults(rows=500, test_rows=200, seeds=1)
    arguments = parser.parse_args()
    study, about = Study.of(arguments)
    table: dict[str, dict[str, list[Cell]]] = {}
    why: dict[str, str] = {}
    for name in arguments.tasks.split(","):
        table[name] = {}
        for side in SIDES:
            if side in SHORTER and name not in SOURCES:
                continue
            seeds = range(arguments.seeds if side.seeded else 1)
            cells = [_cell(study, name, side, seed) for seed in seeds]
            table[name][side.name] = [cell for cell in cells if cell is not None]
            if None in cells:
                why[name] = _why_missing(study, name)
    details = {
        **about,
        "validation_rows": {name: VALIDATION_ROWS for name in table if name in SOURCES},
        "metric": {name: metric_of(name) for name in table},
        "points": {name: {s: points(name, c) for s, c in t.items()} for name, t in table.items()},
        "order": {name: order(name, sides) for name, sides in table.items()},
        "cells": table,
        "missing": why,
    }
    finish(
        arguments,
        [],
        details,
        finding=finding(table),
        table=shown(table),
        draw=lambda path: _draw(table, path),
    )


def metric_of(name: str) -> str:
    """What a task is judged by."""
    return SOURCES[name].metric if name in SOURCES else METRIC[name]


def _why_missing(study: Study, name: str) -> str:
    if name not in SOURCES:
        return study.why_missing(name)
    there = (study.data / SOURCES[name].folder / "train.jsonl").is_file()
    return study.why_missing(name, there)


def _cell(study: Study, name: str, side: Side, seed: int) -> Cell | None:
    if name not in SOURCES:
        return study.side(name, side, seed)
    source, cell = SOURCES[name], f"{name}-{side.name}-{seed}"
    present = (study.data / source.folder / "train.jsonl").is_file()
    if not present or study.lacks(side):
        return study.cells.read(cell)

    def measure() -> Cell:
        training = {"max_new_tokens": source.tokens, "hand_prompts": source.asked}
        asked = replace(side, training={**training, **side.training})
        with TemporaryDirectory() as folder:
            task = task_of(
                name,
                study.data,
                Path(folder),
                seed=seed,
                rows=study.rows,
                held=VALIDATION_ROWS,
                tested=study.test_rows or 200,
            )
            return study.measured(task, asked, seed, source.metric)

    return study.cells.get(cell, measure)


def points(name: str, cells: Sequence[Cell], entry: str = "") -> list[float]:
    """An entry of the test metrics in points, the task's own metric where none is named."""
    wanted = entry or metric_of(name)
    return [100 * float(cell["test"][wanted]) for cell in cells if wanted in cell["test"]]


def order(name: str, sides: Cells) -> list[str]:
    """Names of the sides that are measured, the best first."""
    measured = [side for side, cells in sides.items() if points(name, cells)]
    return sorted(measured, key=lambda side: -fmean(points(name, sides[side])))


def finding(table: Mapping[str, Cells]) -> str:
    """What the table comes to, in sentences."""
    titles = {side.name: side.title for side in SIDES}
    said = []
    for name, sides in table.items():
        listed = [f"{titles[s]} {fmean(points(name, sides[s])):.1f}" for s in order(name, sides)]
        if not listed:
            continue
        text = f"{name} ({metric_of(name)}): {', '.join(listed)}"
        for entry in ADHERENCE[:2]:
            soft, hand = (points(name, sides.get(s, ()), entry) for s in ("soft", "hand"))
            if soft and hand:
                text += (
                    f"; {entry.replace('_', ' ')} of the prompt {fmean(soft):.0f}%, "
                    f"asked in words {fmean(hand):.0f}%"
                )
        said.append(text + ".")
    return " ".join(said) or "Nothing was measured yet."


def shown(table: Mapping[str, Cells]) -> str:
    """Points of every side, and its adherence where a task demands something."""
    head = "".join(f"{title:>10}" for title in ("format", "terms", "precision"))
    lines = [f"{'task':<13}{'metric':<13}{'method':<23}{'points':>14}{head}"]
    for name, sides in table.items():
        for side in SIDES:
            cells = sides.get(side.name, ())
            if not cells:
                continue
            parts = [points(name, cells, entry) for entry in ADHERENCE]
            kept = "".join(f"{fmean(part):>10.1f}" if part else f"{'–':>10}" for part in parts)
            own = mean_spread(points(name, cells))
            lines.append(f"{name:<13}{metric_of(name):<13}{side.title:<23}{own:>14}{kept}")
    return "\n".join(lines)


def _draw(table: Mapping[str, Cells], path: Path) -> None:
    panels = []
    for name, sides in table.items():
        bars: dict[str, Any] = {s.title: points(name, sides.get(s.name, ())) for s in SIDES}
        panels.append(Panel(name, "", f"{metric_of(name)}, points", bars=bars))
    draw(panels, path)


if __name__ == "__main__":
    main()
