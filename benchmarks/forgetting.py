"""What is forgotten? Loss on general text and score on another task, attached and detached.

    python -m benchmarks.forgetting [--data FOLDER] [--plot FILE] [--json]

Prompts, LoRA and full fine-tuning, each as `softprompt compare` measures it: the loss of general
text (nats per token) and the score on a task that was not trained, of the untouched model, with
what was trained attached, and with it detached. Detached, the scores of 200 test rows are compared
with those of the untouched model bit by bit; full fine-tuning cannot be detached.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.data import METRIC
from benchmarks.report import Claim, claim, missing
from benchmarks.sides import FULL, KV, LORA, PREFIX, SUFFIX, Cell, Side, measure_side
from benchmarks.studies import Study, add_arguments, finish, mean_spread
from benchmarks.study_plot import Panel, draw
from softprompt.comparison.measures import measured
from softprompt.tasks import Task

IDENTICAL_ROWS = 200
PROMPTS = (SUFFIX, PREFIX, KV)
SIDES = (*PROMPTS, LORA, FULL)
OTHER = {"vsfc": "sst2", "sst2": "vsfc", "agnews": "sst2"}
"""The task that is answered beside the trained one."""
Cells = Mapping[str, Sequence[Cell]]
"""Finished cells of a task by side."""


def main() -> None:
    """Measures what is missing and reports everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    add_arguments(parser, "vsfc,sst2")
    arguments = parser.parse_args()
    study, about = Study.of(arguments)
    table: dict[str, dict[str, list[Cell]]] = {}
    for name in arguments.tasks.split(","):
        table[name] = {}
        for side in SIDES:
            cells = [_cell(study, name, side, seed) for seed in range(arguments.seeds)]
            table[name][side.name] = [cell for cell in cells if cell is not None]
    why = "; ".join(dict.fromkeys(study.why_missing(name) for name in table))
    details = {
        **about,
        "identical_rows": IDENTICAL_ROWS,
        "other": {name: OTHER[name] for name in table},
        "forgetting": {
            name: {s: [cell["forgetting"] for cell in cells] for s, cells in sides.items()}
            for name, sides in table.items()
        },
    }
    finish(
        arguments,
        [identical_claim(table, why)],
        details,
        finding=finding(table),
        table=shown(table),
        draw=lambda path: _draw(table, path),
    )


def _cell(study: Study, name: str, side: Side, seed: int) -> Cell | None:
    """A side with what it forgets; the other task's rows are of the first seed."""
    cell = f"{name}-{side.name}-{seed}-forgetting"
    found = study.cells.read(cell)
    if found is not None or study.cells.only_read or study.lacks(side):
        return found
    chosen = study.chosen(name, side, seed)
    if chosen is None:
        return None

    def measure(task: Task) -> Cell:
        other = study.task(OTHER[name], 0)
        return measure_side(
            task,
            replace(chosen, how={**chosen.how, "identical_rows": IDENTICAL_ROWS}),
            study.model,
            metric=METRIC[name],
            seed=seed,
            epochs=study.epochs,
            measure=lambda job, method: measured(job, method, other),
        )

    return study.cell(cell, name, seed, measure)


def identical_claim(table: Mapping[str, Cells], why: str) -> Claim:
    """The share of rows that a prompt, once detached, leaves as they were."""
    shares = [
        float(cell["forgetting"]["detached_identical"])
        for sides in table.values()
        for side in PROMPTS
        for cell in sides.get(side.name, ())
        if cell["forgetting"]["detached_identical"] is not None
    ]
    if not shares:
        return missing("detached_identical", 1.0, "at_least", "share of rows", why)
    return claim("detached_identical", shares, 1.0, "at_least", "share of rows", "every prompt")


def changes(name: str, cells: Sequence[Cell]) -> dict[str, list[float]]:
    """What attaching a side changes.

    Args:
        name: of the task that it was trained on.
        cells: of the side.

    Returns:
        `loss`: nats per token above the untouched model; `other`: points on the other task.
    """
    told = [cell["forgetting"] for cell in cells]
    metric = METRIC[OTHER[name]]
    return {
        "loss": [one["loss"]["attached"] - one["loss"]["untouched"] for one in told],
        "other": [
            100 * (one["other"]["attached"][metric] - one["other"]["untouched"][metric])
            for one in told
        ],
    }


def finding(table: Mapping[str, Cells]) -> str:
    """What the table comes to, in sentences."""
    said = []
    for name, sides in table.items():
        losses = {
            side.title: fmean(changes(name, sides[side.name])["loss"])
            for side in SIDES
            if sides.get(side.name)
        }
        if not losses:
            continue
        order = sorted(losses, key=lambda title: losses[title])
        listed = ", ".join(f"{title} {losses[title]:+.2f}" for title in order)
        said.append(f"{name}: attached, the loss of general text changes by (nats): {listed}.")
    if not said:
        return "Nothing was measured yet."
    one = identical_claim(table, "")
    if one.value is not None:
        what = "are all bit for bit" if one.holds else "are NOT all"
        said.append(f"Detached prompts' outputs {what} those of the untouched model.")
    return " ".join(said)


def shown(table: Mapping[str, Cells]) -> str:
    """Changes of loss and of the other task's points, and the share that detaching restores."""
    lines = [f"{'task':<8}{'side':<22}{'loss, nats':>14}{'other, points':>16}{'restored':>10}"]
    for name, sides in table.items():
        for side in SIDES:
            cells = sides.get(side.name, ())
            if not cells:
                continue
            found = changes(name, cells)
            same = [cell["forgetting"]["detached_identical"] for cell in cells]
            restored = "–" if None in same else f"{fmean(same):.3f}"
            loss = f"{fmean(found['loss']):+.3f}"
            other = mean_spread(found["other"])
            lines.append(f"{name:<8}{side.title:<22}{loss:>14}{other:>16}{restored:>10}")
    return "\n".join(lines)


def _draw(table: Mapping[str, Cells], path: Path) -> None:
    panels = []
    for name, sides in table.items():
        bars: dict[str, Any] = {s.title: changes(name, sides[s.name])["loss"] for s in SIDES}
        panels.append(Panel(name, "", "loss of general text above untouched, nats", bars=bars))
    draw(panels, path)


if __name__ == "__main__":
    main()
