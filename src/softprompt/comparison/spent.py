"""What a method takes, written down as it goes: a process that is killed leaves it to the next one.

spent.json      energy and peak memory of the method's processes so far
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from softprompt.comparison.energy import Meter, added
from softprompt.comparison.memory import peak_memory
from softprompt.comparison.stages import kept
from softprompt.storage import write_json
from softprompt.training import Reporter
from softprompt.training.reporters import Reporters

__all__ = ["Spent"]


class Spent(Reporter):
    """Measures while it is entered, and hears of the work, so that it is noted step by step.

    Args:
        folder: of the method.
        watts: of a busy core (see `Meter`).
    """

    def __init__(self, folder: Path, watts: float) -> None:
        self._file = folder / "spent.json"
        self._before = kept(self._file) or {}
        self._meter = Meter(watts)

    def __enter__(self) -> Spent:
        self._meter.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._meter.__exit__(kind, error, trace)
        self._note()

    @property
    def total(self) -> dict[str, Any]:
        """`energy` and `peak_memory_bytes`, those of earlier processes included."""
        return {
            "energy": added(self._before.get("energy"), self._meter.read()),
            "peak_memory_bytes": max(self._before.get("peak_memory_bytes", 0), peak_memory()),
        }

    def beside(self, reporter: Reporter) -> Reporter:
        """Another reporter and this one as one."""
        return Reporters([reporter, self])

    def stage(self, name: str, about: Mapping[str, Any]) -> None:
        # A stage begins where the one before, whose results are on disk, has ended.
        self._note()

    def record(self, record: Mapping[str, Any]) -> None:
        if record.get("kind") == "validation":
            self._note()

    def _note(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._file, self.total)
