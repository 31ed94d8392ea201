"""What the studies have in common: their arguments, and one side on one task as a cell on disk.

All sides (see `benchmarks.sides`) read the same rows with
the same template, are chosen on the same validation rows and scored on the same test rows. Cells of
all studies lie in one folder, so that what two studies need is measured once; runs of
`benchmarks.quality` with default settings serve as well. Rows that do not fit into the window are
left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean, stdev
from textwrap import fill
from typing import Any

from benchmarks.cells import RESULTS, Cells
from benchmarks.data import DEFAULT_DATA, METRIC, has_data, load_task
from benchmarks.report import Claim, show
from benchmarks.sides import Cell, Side, measure_side
from softprompt import load_backbone
from softprompt.comparison import METHODS
from softprompt.tasks import Task

__all__ = ["Study", "add_arguments", "finish", "mean_spread"]


def add_arguments(parser: argparse.ArgumentParser, tasks: str, seeds: int = 3) -> None:
    """What every study can be asked for."""
    add = parser.add_argument
    add("--data", type=Path, default=DEFAULT_DATA, help="folder of the data sets")
    add("--model", default="nano")
    add("--rows", type=int, default=2000, help="training rows")
    add("--test-rows", type=int, help="test rows, for a quick look; all when not given")
    add("--epochs", type=int, help="of every side, for a quick look")
    add("--seeds", type=int, default=seeds)
    add("--tasks", default=tasks)
    add("--cells", type=Path, default=RESULTS / "cells" / "studies")
    add("--quality-cells", type=Path, default=RESULTS / "cells" / "quality")
    add("--plot", type=Path, help="file for the picture (PNG)")
    add("--only-read", action="store_true", help="measure nothing")
    add("--json", action="store_true")


@dataclass(frozen=True)
class Study:
    """Measurements by task, side and seed; None where one is neither there nor can be made.

    Args:
        cells: where finished ones are.
        earlier: cells of `benchmarks.quality`, or None.
        model: name of the backbone.
        data: folder of the data sets.
        rows: for training.
        test_rows: at most; None for all.
        epochs: of every side; None for what each has by default.
    """

    cells: Cells
    earlier: Cells | None
    model: str
    data: Path
    rows: int
    test_rows: int | None = None
    epochs: int | None = None

    @classmethod
    def of(cls, arguments: argparse.Namespace, model: str = "") -> tuple[Study, dict[str, Any]]:
        """The study that the command line asks for, and what to say of the backbone.

        Args:
            arguments: of `add_arguments`.
            model: in place of the one that the arguments name.
        """
        model = model or arguments.model
        backbone = load_backbone(model)
        identity = backbone.identity
        about = {
            "model": identity.name,
            "revision": identity.revision,
            "weights": identity.weights,
            "parameters": backbone.parameters,
            "rows": arguments.rows,
            "test_rows": arguments.test_rows,
            "epochs": arguments.epochs,
        }
        return cls.known(arguments, model, identity.weights), about

    @classmethod
    def beside(cls, cells: Cells, model: str, data: Path, rows: int, epochs: int | None) -> Study:
        """The study whose cells lie beside those of `benchmarks.quality`."""
        folder, stamp = cells.folder.parent.with_name("studies"), cells.folder.name
        own = Cells(folder, stamp, only_read=cells.only_read)
        return cls(own, None, model, data, rows, None, epochs)

    @classmethod
    def known(cls, arguments: argparse.Namespace, model: str, weights: str) -> Study:
        """The study of a backbone whose fingerprint is known; it need not be there to be read."""
        stamp = f"{Path(model).name}-{weights[:12]}-{arguments.rows}"
        plain = arguments.epochs is None and arguments.test_rows is None
        earlier = Cells(arguments.quality_cells, stamp, only_read=True) if plain else None
        stamp += f"-{arguments.epochs}-epochs" if arguments.epochs else ""
        stamp += f"-{arguments.test_rows}-tested" if arguments.test_rows else ""
        return cls(
            Cells(arguments.cells, stamp, only_read=arguments.only_read),
            earlier,
            model,
            arguments.data,
            arguments.rows,
            arguments.test_rows,
            arguments.epochs,
        )

    def reading(self) -> Study:
        """The same study, which measures nothing."""
        cells = copy(self.cells)
        cells.only_read = True
        return replace(self, cells=cells)

    def why_missing(self, name: str, there: bool | None = None) -> str:
        """Why some of a task's cells are not there.

        Args:
            name: of the task.
            there: whether its data are; looked up in `benchmarks.data` where None.
        """
        if not (has_data(name, self.data) if there is None else there):
            return f"the data of {name} are not in {self.data}; see --data"
        if find_spec("peft") is None:
            return "PEFT is not installed: pip install 'softprompt[compare]'"
        return "not all of its cells are measured; see --only-read"

    def task(self, name: str, seed: int) -> Task:
        """A task with the rows that a seed draws."""
        task = load_task(name, self.data, seed, self.rows)
        return task if self.test_rows is None else replace(task, test=task.test[: self.test_rows])

    def cell(self, cell: str, name: str, seed: int, measure: Callable[[Task], Cell]) -> Cell | None:
        """A cell of a task, measured where it is not there and its data are."""
        if not has_data(name, self.data):
            return self.cells.read(cell)
        return self.cells.get(cell, lambda: measure(self.task(name, seed)))

    def side(
        self,
        name: str,
        side: Side,
        seed: int,
        changed: tuple[str, Callable[[Task, int], Task]] | None = None,
    ) -> Cell | None:
        """A side on a task.

        The first seed chooses among learning rates; further seeds take the one that it chose.

        Args:
            name: of the task.
            side: to measure.
            seed: of rows, their order and initial vectors.
            changed: a name, and what is done to the task of a seed before anything learns from it.
        """
        found = self._finished(name, side, seed, changed and changed[0])
        if found is not None and seed and side.rates:
            first = self._finished(name, side, 0, changed and changed[0])
            if first is None or side.rate(first) != side.rate(found):
                # The first seed has chosen another rate since, or is to choose yet.
                found = None
        if found is not None or self.cells.only_read or self.lacks(side):
            return found
        chosen = self.chosen(name, side, seed, changed)
        if chosen is None:
            return None

        def measure(task: Task) -> Cell:
            task = changed[1](task, seed) if changed else task
            return self.measured(task, chosen, seed, METRIC[name])

        cell = f"{name}-{side.name}-{seed}" + (f"-{changed[0]}" if changed else "")
        if has_data(name, self.data):
            self.cells.drop(cell)
        return self.cell(cell, name, seed, measure)

    def chosen(
        self,
        name: str,
        side: Side,
        seed: int,
        changed: tuple[str, Callable[[Task, int], Task]] | None = None,
    ) -> Side | None:
        """The side at the learning rate that the first seed chooses, which is measured for that.

        Where nothing is searched, and for a first seed that is to be measured yet, the side as it
        is; None where the first seed cannot be measured.

        Args:
            name, side, seed, changed: as for `side`.
        """
        if not side.rates:
            return side
        first = self._finished(name, side, 0, changed and changed[0])
        if first is None and not seed:
            return side
        first = first or self.side(name, side, 0, changed)
        return first and side.at(side.rate(first))

    def _finished(self, name: str, side: Side, seed: int, changed: str | None) -> Cell | None:
        """A side's cell, of whichever benchmark has measured it.

        A run of `benchmarks.quality` goes before one that was made to measure forgetting, so that
        all tables have the same number.
        """
        cell = f"{name}-{side.name}-{seed}"
        if changed is not None:
            return self.cells.read(f"{cell}-{changed}")
        found = self.cells.read(cell)
        if found is None and self.earlier is not None:
            names, converted = _EARLIER.get(side.name, ((side.name,), _of_quality))
            earlier = [self.earlier.read(f"{name}-{other}-{seed}") for other in names]
            found = next((converted(one) for one in earlier if one is not None), None)
        found = found or self.cells.read(f"{cell}-forgetting")
        if found is None and side.name in _WITHIN:
            other, part = _WITHIN[side.name]
            whole = self.cells.read(f"{name}-{other}-{seed}")
            found = whole and part(whole, METRIC[name])
        return found

    def lacks(self, side: Side) -> bool:
        """Whether a side needs a package that is not installed."""
        needed = METHODS.get(side.method).needs
        return needed is not None and find_spec(needed) is None

    def measured(self, task: Task, side: Side, seed: int, metric: str) -> Cell:
        """A side on any task, now."""
        return measure_side(task, side, self.model, metric=metric, seed=seed, epochs=self.epochs)

    def points(self, name: str, side: Side, seeds: int) -> list[float]:
        """Test points of the seeds that are there."""
        found = self.every(name, side, seeds)
        return [100 * float(cell["test"][METRIC[name]]) for cell in found if cell is not None]

    def every(self, name: str, side: Side, seeds: int) -> list[Cell | None]:
        """A side's cells, one for each seed; a single one where seeds make no difference."""
        return [self.side(name, side, seed) for seed in range(seeds if side.seeded else 1)]


def _of_quality(cell: Cell) -> Cell | None:
    """A cell of `benchmarks.quality` as one of a study; None where it says too little."""
    if not cell.get("artifact_bytes"):
        return None
    numbers, seconds = cell["trainable_parameters"], cell["seconds"]
    return {
        "test": cell["test"],
        "validation_score": cell["validation"][cell["metric"]],
        "trainable": numbers,
        "stored_numbers": numbers,
        "stored_bytes": cell["artifact_bytes"],
        # Vectors are kept in fp32, at a few bytes of header.
        "described_bytes": cell["artifact_bytes"] - 4 * numbers,
        "seconds": {"search": 0.0, "training": seconds["training"] + seconds["context"]},
        "details": {key: cell.get(key) for key in ("population", "selection", "readout", "steps")},
        "from": "benchmarks.quality",
    }


def _alone(cell: Cell) -> Cell | None:
    """What the prompts of a default run do without the readout that it kept, whose numbers stay
    counted among what is stored."""
    found, readout = _of_quality(cell), cell.get("readout")
    if found is None or not readout or not readout["kept"]:
        return found
    score = readout["validation_without"][cell["metric"]]
    details = {**found["details"], "readout": None}
    return {**found, "test": readout["test_without"], "validation_score": score, "details": details}


_EARLIER: dict[str, tuple[Sequence[str], Callable[[Cell], Cell | None]]] = {
    "suffix": (("tune", "suffix"), _of_quality),
    "alone": (("tune", "suffix"), _alone),
}
"""By side: names of its runs among the cells of `benchmarks.quality`, and how to read one."""


def _prompts(cell: Cell, metric: str) -> Cell:
    """What the prompts do without their readout in a run that a study has measured."""
    readout = cell["details"].get("readout")
    if not readout or not readout["kept"]:
        return cell
    score = readout["validation_without"][metric]
    details = {**cell["details"], "readout": None}
    test = cell["parts"]["prompts"]
    return {**cell, "test": test, "validation_score": score, "details": details, "parts": None}


_WITHIN: dict[str, tuple[str, Callable[[Cell, str], Cell]]] = {"alone": ("suffix", _prompts)}
"""By side: another one whose runs hold it too, and how to read it from one."""


def mean_spread(points: Sequence[float]) -> str:
    """Mean and standard deviation of points, for a table."""
    spread = f" ± {stdev(points):.1f}" if len(points) > 1 else ""
    return f"{fmean(points):.1f}{spread}" if points else "–"


def at_edge(first: Mapping[str, Cell | None]) -> list[str]:
    """Whose kept weights are of the largest or the smallest learning rate that was tried, in full
    or in the short search, where a better one may lie beyond.

    Args:
        first: cells of the first seed, which searches, by what they are called.

    Returns:
        a sentence for each end that some are at.
    """
    ends: dict[str, list[str]] = {}
    for name, cell in first.items():
        details = (cell or {}).get("details", {})
        for part in (details, details.get("lora"), details.get("model")):
            tried = [float(rate) for rate in (part or {}).get("rates") or {}]
            if part and len(tried) > 1:
                best = part.get("kept_rate", part["rate"])
                end = {max(tried): "largest", min(tried): "smallest"}.get(best)
                ends.setdefault(end or "", []).append(name)
    return [
        f"The best learning rate is the {end} that was tried: {', '.join(ends[end])}."
        for end in ("largest", "smallest")
        if end in ends
    ]


def finish(
    arguments: argparse.Namespace,
    claims: Sequence[Claim],
    details: Mapping[str, Any],
    *,
    finding: str,
    table: str,
    draw: Callable[[Path], None],
) -> None:
    """Draws the picture where one is asked for, and prints claims, table and finding, or JSON."""
    if arguments.plot:
        arguments.plot.parent.mkdir(parents=True, exist_ok=True)
        draw(arguments.plot)
    if arguments.json:
        show(claims, {**details, "finding": finding}, as_json=True)
        return
    if claims:
        show(claims, details, as_json=False)
        print()
    print(f"{table}\n\n{fill(finding, 80)}")
