"""Finished runs of every side of a comparison: ours, PEFT prompt tuning, LoRA, full fine-tuning.

All sides read the same rows with the same template and answers, in batches of the same size, and
are scored the same way. A run is a cell on disk with its timeline and its test metrics, so that one
run serves both the comparison of times and that of results. Cells of `benchmarks.quality` are the
same runs without a timeline: they serve where results alone count.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from benchmarks.cells import RESULTS, Cells
from benchmarks.data import DEFAULT_DATA, METRIC, TASKS, load_task
from benchmarks.peft_methods import LORA, PROMPT_TUNING, TEXTS, Method
from benchmarks.peft_training import Pace, choose_pace, train
from benchmarks.sides import FULL
from benchmarks.studies import Study
from benchmarks.timeline import Timeline
from softprompt import load_backbone, tune
from softprompt.tasks import Task
from softprompt.training import Reporter, TrainingConfig
from softprompt.training.run_directory import RunDirectory

__all__ = ["Runs", "add_arguments"]

SEARCH_EPOCHS = 2
"""Passes that each learning rate of LoRA gets before one is chosen."""

Cell = dict[str, Any]


class Clock(Reporter):
    """Notes the validations of a run of ours; starts when it is made."""

    def __init__(self) -> None:
        self.timeline = Timeline()

    def record(self, record: Mapping[str, Any]) -> None:
        """A validation: the leader's score or that of all together, which may be what is kept."""
        if record["kind"] == "validation" and not record["interim"]:
            self.timeline.note(max(record["score"], record.get("together", 0.0)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What both benchmarks of runs can be asked for."""
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of the data sets")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--rows", type=int, default=2000, help="training rows")
    parser.add_argument("--epochs", type=int, help="of every side, for a quick look")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--cells", type=Path, default=RESULTS / "cells" / "quality")
    parser.add_argument("--no-compile", action="store_true", help="leave compiled PEFT out")
    parser.add_argument("--only-read", action="store_true", help="measure nothing")
    parser.add_argument("--json", action="store_true")


@dataclass(frozen=True)
class Runs:
    """Runs by task and seed; None where one is neither there nor can be made.

    Args:
        cells: where finished ones are.
        model: name of the backbone.
        data: folder of the data sets.
        rows: for training.
        epochs: of every side; None for what each has by default.
        compiling: whether compiled PEFT is tried.
    """

    cells: Cells
    model: str
    data: Path
    rows: int
    epochs: int | None
    compiling: bool

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> tuple[Runs, dict[str, Any]]:
        """The runs that the command line asks for, and what to say of the backbone."""
        identity = load_backbone(arguments.model).identity
        stamp = f"{Path(arguments.model).name}-{identity.weights[:12]}-{arguments.rows}"
        if arguments.epochs:
            stamp += f"-{arguments.epochs}-epochs"
        cells = Cells(arguments.cells, stamp, only_read=arguments.only_read)
        runs = cls(
            cells,
            arguments.model,
            arguments.data,
            arguments.rows,
            arguments.epochs,
            not arguments.no_compile,
        )
        about = {
            "model": identity.name,
            "revision": identity.revision,
            "weights": identity.weights,
            "rows": arguments.rows,
            "metric": METRIC,
        }
        return runs, about

    def why_missing(self, name: str) -> str:
        """Why a task's runs are not there."""
        if not self._has_data(name):
            return f"the data of {name} are not in {self.data}; see --data"
        if find_spec("peft") is None:
            return "PEFT is not installed: pip install 'softprompt[peft]'"
        return "not all of its runs are there; see --only-read"

    def ours(self, name: str, seed: int, *, timed: bool = False) -> Cell | None:
        """The default `tune` from a cold start.

        Its timeline counts from before the model is loaded: precision, contexts, threads, plan and
        the whole population are on it.

        Args:
            name: of the task.
            seed: of rows and initial vectors.
            timed: whether the timeline is wanted; else a run of `benchmarks.quality` will do.
        """
        untimed = None if timed else self.cells.read(f"{name}-suffix-{seed}")
        if untimed is not None and self.epochs is None:
            return untimed

        def measure(task: Task) -> Cell:
            settings: Any = {"epochs": self.epochs} if self.epochs else {}
            with _cold_cache() as folder:
                clock = Clock()
                backbone = load_backbone(self.model)
                result = tune(
                    task,
                    backbone,
                    folder / "run",
                    metric=METRIC[name],
                    seed=seed,
                    baselines=(),
                    reporter=clock,
                    **settings,
                )
                plan = RunDirectory(folder / "run").read("plan.json")
                assert plan is not None, "every run writes one"
            kept = {key: value for key, value in result.items() if key != "prompt"}
            epochs = plan["steps"] // plan["steps_per_epoch"]
            about = {key: plan[key] for key in ("dtype", "threads")}
            return {**kept, **about, "epochs": epochs, "timeline": clock.timeline.points}

        return self._cell(f"{name}-tune-{seed}", name, seed, measure)

    def prompt_tuning(self, name: str, seed: int) -> Cell | None:
        """PEFT prompt tuning at the learning rate that is best on the first seed's validation."""
        tried = self.prompt_tuning_rates(name)
        if tried is None:
            return None
        rate = max(tried, key=lambda rate: tried[rate]["validation"])
        return self._peft(PROMPT_TUNING, name, rate, seed)

    def prompt_tuning_rates(self, name: str) -> dict[float, Cell] | None:
        """PEFT prompt tuning at every learning rate, whole runs of the first seed."""
        cells = {rate: self._peft(PROMPT_TUNING, name, rate, 0) for rate in PROMPT_TUNING.rates}
        found = {rate: cell for rate, cell in cells.items() if cell is not None}
        return found if len(found) == len(cells) else None

    def lora(self, name: str) -> Cell | None:
        """LoRA of the first seed at its best learning rate after two epochs."""
        tried = {
            rate: self._peft(LORA, name, rate, 0, epochs=SEARCH_EPOCHS, what="search")
            for rate in LORA.rates
        }
        best = _best(tried)
        return None if best is None else self._peft(LORA, name, best, 0)

    def full(self, name: str, seed: int) -> Cell | None:
        """Full fine-tuning as `softprompt compare` does it, in the cells of the studies; its
        timeline counts the search for its rate."""
        study = Study.beside(self.cells, self.model, self.data, self.rows, self.epochs)
        cell = study.side(name, FULL, seed)
        if cell is None:
            return None
        timeline = [{"seconds": at, "score": score} for at, score in cell.get("history", ())]
        return {
            **cell,
            "validation": cell["validation_score"],
            "rate": cell["details"]["rate"],
            "timeline": timeline,
        }

    def _peft(
        self,
        method: Method,
        name: str,
        rate: float,
        seed: int,
        *,
        epochs: int | None = None,
        what: str = "run",
    ) -> Cell | None:
        """A run with as many epochs and validations as ours, unless another number is given."""
        cell = f"{name}-{method.name}-{what}-{rate:g}-{seed}"
        found = self.cells.read(cell)
        if found is not None or self.cells.only_read or find_spec("peft") is None:
            return found
        # Apart from the run, whose own time is kept with it.
        mine, pace = self.ours(name, 0, timed=True), self._pace(method, name)
        if mine is None or pace is None:
            return None

        def measure(task: Task) -> Cell:
            return train(
                method,
                task,
                self.model,
                text=TEXTS[name],
                rate=rate,
                epochs=self.epochs or epochs or mine["epochs"],
                validations=TrainingConfig().validations or 1,
                seed=seed,
                metric=METRIC[name],
                pace=Pace(**pace["pace"]),
            )

        return self._cell(cell, name, seed, measure)

    def _pace(self, method: Method, name: str) -> Cell | None:
        """What makes a method fastest, measured once for all of its runs on a task."""

        def measure(task: Task) -> Cell:
            # Compiling LoRA's layers takes minutes of the processor, more than it can win back.
            compiling = self.compiling and method is PROMPT_TUNING
            return choose_pace(method, task, self.model, TEXTS[name], compiling=compiling)

        return self._cell(f"{name}-{method.name}-pace", name, 0, measure)

    def _cell(
        self, cell: str, name: str, seed: int, measure: Callable[[Task], Cell]
    ) -> Cell | None:
        if not self._has_data(name):
            return self.cells.read(cell)
        return self.cells.get(cell, lambda: measure(load_task(name, self.data, seed, self.rows)))

    def _has_data(self, name: str) -> bool:
        settings = TASKS[name]
        return Path(self.data, settings["folder"], settings["files"][0]).is_file()


def _best(tried: Mapping[float, Cell | None]) -> float | None:
    """The learning rate with the best validation score; None where one is missing."""
    scores = {rate: cell["validation"] for rate, cell in tried.items() if cell is not None}
    return max(scores, key=lambda rate: scores[rate]) if len(scores) == len(tried) else None


@contextmanager
def _cold_cache() -> Iterator[Path]:
    """An empty folder, in which contexts on disk are kept as well."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        with patch.dict(os.environ, {"SOFTPROMPT_CACHE": str(folder / "cache")}):
            yield folder
