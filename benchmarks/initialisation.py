"""Does it matter where a prompt begins? Five beginnings on an easy and on a hard task.

    python -m benchmarks.initialisation [--data FOLDER] [--plot FILE] [--json]

Relevant text, irrelevant text, labels, vocabulary, random. One suffix prompt at a time with the
default learning rate, validated four times an epoch. The target of a task is the mean of the best
validation scores of all its runs, less one point; a run that does not reach it counts with all of
its steps, so that its mean is a lower bound.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from scipy import stats

from benchmarks.data import METRIC
from benchmarks.sides import Cell, Side, measure_side
from benchmarks.studies import Study, add_arguments, finish, mean_spread
from benchmarks.study_plot import Panel, draw
from softprompt.tasks import Task
from softprompt.training import Reporter

RELEVANT = {
    "vsfc": "Sinh viên nhận xét về môn học: ý kiến này tích cực, tiêu cực hay trung tính?",
    "sst2": "The film is praised or blamed here. Is this opinion positive or negative?",
    "agnews": "Which section is this news from: world, sports, business or technology?",
    "boolq": "Read the passage and answer the question about it with yes or no.",
    "vsfc_topic": "Nhận xét này nói về giảng viên, chương trình, cơ sở vật chất hay việc khác?",
}
IRRELEVANT = "Soak the beans overnight, then simmer them slowly with onions and a bay leaf."
BEGINNINGS = ("relevant", "irrelevant", "labels", "vocabulary", "random")
BELOW_MEAN = 0.01
LEVEL = 0.05
Runs = Mapping[str, Sequence[Cell]]
"""Finished cells of a task by beginning."""


class Validations(Reporter):
    """Notes step and score of every validation."""

    def __init__(self) -> None:
        self.points: list[dict[str, float]] = []

    def record(self, record: Mapping[str, Any]) -> None:
        """A validation of the only prompt."""
        if record["kind"] == "validation" and not record["interim"]:
            self.points.append({"step": record["step"], "score": record["score"]})


def side(name: str, beginning: str) -> Side:
    """One prompt that begins so."""
    text = {"relevant": RELEVANT[name], "irrelevant": IRRELEVANT}.get(beginning)
    prompt: dict[str, Any] = {"initialisation": beginning}
    if text is not None:
        prompt = {"initialisation": "text", "text": text}
    training = {"population": 1, "validations": 4, "readout": "off"}
    return Side(f"from-{beginning}", beginning, prompt=prompt, training=training)


def main() -> None:
    """Measures what is missing and reports everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    add_arguments(parser, "vsfc,sst2")
    arguments = parser.parse_args()
    study, about = Study.of(arguments)
    table = {
        name: {
            beginning: _cells(study, name, beginning, arguments.seeds) for beginning in BEGINNINGS
        }
        for name in arguments.tasks.split(",")
    }
    summary = {name: summed(name, runs) for name, runs in table.items()}
    details = {
        **about,
        "summary": summary,
        "cells": table,
        "missing": {
            name: study.why_missing(name)
            for name, runs in table.items()
            if any(len(cells) < arguments.seeds for cells in runs.values())
        },
    }
    finish(
        arguments,
        [],
        details,
        finding=finding(summary),
        table=shown(summary),
        draw=lambda path: _draw(table, path),
    )


def _cells(study: Study, name: str, beginning: str, seeds: int) -> list[Cell]:
    def measure(seed: int, task: Task) -> Cell:
        heard = Validations()
        cell = measure_side(
            task,
            side(name, beginning),
            study.model,
            metric=METRIC[name],
            seed=seed,
            epochs=study.epochs,
            reporter=heard,
        )
        return {**cell, "validations": heard.points}

    found = []
    for seed in range(seeds):
        cell = f"{name}-from-{beginning}-{seed}"
        found.append(study.cell(cell, name, seed, partial(measure, seed)))
    return [cell for cell in found if cell is not None]


def target_of(runs: Runs) -> float | None:
    """The score to be reached; None where nothing was measured."""
    best = [cell["validation_score"] for cells in runs.values() for cell in cells]
    return fmean(best) - BELOW_MEAN if best else None


def steps_to(cell: Cell, target: float) -> tuple[int, bool]:
    """Steps to the first validation with the target, or all of them; whether it was reached."""
    for point in cell["validations"]:
        if point["score"] >= target:
            return int(point["step"]), True
    return int(cell["details"]["steps"]), False


def summed(name: str, runs: Runs) -> dict[str, Any] | None:
    """The target, and by beginning `steps`, `reached` and test `points` of the seeds."""
    target = target_of(runs)
    if target is None:
        return None
    found: dict[str, Any] = {"target": target, "beginnings": {}}
    for beginning, cells in runs.items():
        reached = [steps_to(cell, target) for cell in cells]
        found["beginnings"][beginning] = {
            "steps": [steps for steps, _ in reached],
            "reached": sum(whole for _, whole in reached),
            "points": [100 * float(cell["test"][METRIC[name]]) for cell in cells],
        }
    return found


def finding(summary: Mapping[str, dict[str, Any] | None]) -> str:
    """What the tables come to, in sentences."""
    said = []
    for name, found in summary.items():
        kept = {b: x for b, x in (found or {}).get("beginnings", {}).items() if x["steps"]}
        if not kept:
            continue
        fast = sorted(kept, key=lambda b: fmean(kept[b]["steps"]))
        good = sorted(kept, key=lambda b: -fmean(kept[b]["points"]))
        first, last = (_steps(kept[b]) for b in (fast[0], fast[-1]))
        high, low = (fmean(kept[b]["points"]) for b in (good[0], good[-1]))
        said.append(
            f"{name}: {fast[0]} is at the target first ({first}), {fast[-1]} last ({last}); in the "
            f"end {good[0]} is best and {good[-1]} worst, "
            f"{high - low:.1f} points apart{_by_chance([one['points'] for one in kept.values()])}."
        )
    return " ".join(said) or "Nothing was measured yet."


def _by_chance(groups: Sequence[Sequence[float]]) -> str:
    """What the seeds' scatter says of a difference between beginnings (analysis of variance)."""
    several = [points for points in groups if len(points) > 1]
    if len(several) < 2:
        return ""
    chance = float(stats.f_oneway(*several).pvalue)
    verb = "no more than" if chance > LEVEL else "more than"
    return f"; beginnings differ {verb} seeds make them (p = {chance:.2f})"


def _steps(one: Mapping[str, Any]) -> str:
    """Steps to the target in words, which runs that never reach it make a lower bound."""
    count, reached = len(one["steps"]), one["reached"]
    if not reached:
        return f"in none of {count} runs"
    mean = f"{fmean(one['steps']):.0f} steps on average"
    return mean if reached == count else f"in {reached} of {count} runs, at least {mean}"


def shown(summary: Mapping[str, dict[str, Any] | None]) -> str:
    """Steps to the target, runs that reached it, and test points."""
    lines = [f"{'task':<12}{'beginning':<14}{'steps to target':>18}{'reached':>10}{'points':>14}"]
    for name, found in summary.items():
        for beginning, one in (found or {}).get("beginnings", {}).items():
            count = len(one["steps"])
            sign = "" if one["reached"] == count else ">= "
            steps = f"{sign}{fmean(one['steps']):.0f}" if count else "–"
            reached = f"{one['reached']}/{count}"
            points = mean_spread(one["points"])
            lines.append(f"{name:<12}{beginning:<14}{steps:>18}{reached:>10}{points:>14}")
    return "\n".join(lines)


def _draw(table: Mapping[str, Runs], path: Path) -> None:
    panels = []
    for name, runs in table.items():
        lines: dict[str, dict[float, list[float]]] = {}
        for beginning, cells in runs.items():
            by_step = lines.setdefault(beginning, {})
            for point in (point for cell in cells for point in cell["validations"]):
                by_step.setdefault(point["step"], []).append(100 * point["score"])
        panels.append(Panel(name, "steps", f"validation {METRIC[name]}", lines=lines, ticks=False))
    draw(panels, path)


if __name__ == "__main__":
    main()
