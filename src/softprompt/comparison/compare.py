"""A comparison in a folder: every method measured once, written down, and all of them side by side.

    config.json             task, backbone, prompt, training, and what is compared
    methods/NAME/           what a method keeps; result.json when it is measured, error.json where
                            it could not be
    report.json             all methods, what their differences are worth, a recommendation

A comparison that was stopped goes on with the methods that have no result. It does not know how a
method works.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from softprompt.comparison.config import CompareConfig
from softprompt.comparison.job import Job
from softprompt.comparison.methods import METHODS
from softprompt.comparison.report import report
from softprompt.errors import DataError, SoftPromptError, UsageError
from softprompt.storage import write_json
from softprompt.tasks import Task
from softprompt.training import Reporter, RunConfig
from softprompt.training.result import peak_memory
from softprompt.training.run_directory import RunDirectory

__all__ = ["Comparison", "compare"]


class Comparison:
    """A comparison in a folder.

    Args:
        folder: where `begin` has written what is compared.

    Raises:
        UsageError: the folder holds none.
    """

    def __init__(self, folder: Path) -> None:
        self.directory = RunDirectory(folder)
        stored = self.directory.read("config.json")
        if stored is None or "comparison" not in stored:
            raise UsageError(
                f"{folder} holds no comparison.",
                "Name the folder that `softprompt compare` was given with --output.",
            )
        self.how = CompareConfig(**stored["comparison"])
        self.config = RunConfig.from_json(stored["run"])

    @classmethod
    def begin(cls, folder: Path, config: RunConfig, how: CompareConfig) -> Comparison:
        """A new comparison in an empty or absent folder.

        Raises:
            UsageError: the folder is in use, a method is unknown or needs a package that is absent.
            DataError: the task cannot be read or has no test rows.
        """
        for name in how.methods:
            needed = METHODS.get(name).needs
            if needed is not None and find_spec(needed) is None:
                raise UsageError(
                    f"The method {name!r} needs {needed}, which is not installed.",
                    "Run: pip install 'softprompt[compare]', or leave it out of --methods.",
                )
        directory = RunDirectory(folder)
        directory.refuse_used()
        _task(config)
        directory.create(
            {"run": config.model_dump(mode="json"), "comparison": how.model_dump(mode="json")}
        )
        return cls(folder)

    def missing(self) -> list[str]:
        """Methods without a result, those with an error among them."""
        return [name for name in self.how.methods if self._read(name, "result.json") is None]

    def measure(self, name: str, reporter: Reporter | None = None) -> None:
        """Measures a method and writes it down; what goes wrong is written down too.

        Raises:
            DataError: the task cannot be read or has no test rows.
        """
        task = _task(self.config)
        folder = self._folder(name)
        job = Job(task, self.config, self.how, folder.path, reporter or Reporter())
        try:
            measured = asdict(METHODS.get(name).run(job))
        except (SoftPromptError, MemoryError, RuntimeError) as error:
            message = error.message if isinstance(error, SoftPromptError) else str(error)
            self.failed(name, message.splitlines()[0] if message else type(error).__name__)
            return
        measured |= {"answers": list(measured["answers"]), "peak_memory_bytes": peak_memory()}
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.write("result.json", measured)
        (folder.path / "error.json").unlink(missing_ok=True)

    def failed(self, name: str, message: str) -> None:
        """Writes down why a method has no result."""
        folder = self._folder(name)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.write("error.json", {"error": message})

    def report(self) -> dict[str, Any]:
        """All methods side by side (see `softprompt.comparison.report`), also written down."""
        task = _task(self.config)
        results = {name: self._read(name, "result.json") for name in self.how.methods}
        errors = {
            name: (self._read(name, "error.json") or {"error": "not measured yet"})["error"]
            for name, result in results.items()
            if result is None
        }
        found = report(task, {n: r for n, r in results.items() if r is not None}, errors)
        write_json(self.directory.path / "report.json", found)
        return found

    def _folder(self, name: str) -> RunDirectory:
        return RunDirectory(self.directory.path / "methods" / name)

    def _read(self, name: str, file: str) -> dict[str, Any] | None:
        return self._folder(name).read(file)


def _task(config: RunConfig) -> Task:
    """The task, which must have test rows."""
    task = Task.from_file(config.data, config.task)
    if not task.test:
        raise DataError(
            "There are no test rows to compare methods on.",
            "Name a file with --test, or leave test_share above 0.",
        )
    return task


def compare(
    comparison: Comparison,
    reporter: Reporter | None = None,
    apart: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Measures what is missing and reports.

    Args:
        comparison: new or begun.
        reporter: hears of progress.
        apart: measures a method elsewhere, for example in a process of its own, so that its memory
            is its own; here when absent.
    """
    for name in comparison.missing():
        if apart is None:
            comparison.measure(name, reporter)
        else:
            apart(name)
    return comparison.report()
