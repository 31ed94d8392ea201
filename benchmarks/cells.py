"""Finished measurements on disk, one JSON file a cell, so that a stopped benchmark goes on."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.report import machine
from softprompt.storage import write_json

__all__ = ["RESULTS", "Cells"]

RESULTS = Path(__file__).parent / "results"


class Cells:
    """Cells of one benchmark.

    Args:
        folder: where they are kept.
        stamp: what they depend on beside their names (backbone, rows, ...); another stamp is
            another set of cells.
        only_read: measure nothing, report what is there.
    """

    def __init__(self, folder: Path, stamp: str, *, only_read: bool = False) -> None:
        self.folder, self.only_read = folder / stamp, only_read

    def read(self, name: str) -> dict[str, Any] | None:
        """The cell of that name if it is there."""
        file = self.folder / f"{name}.json"
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None

    def drop(self, name: str) -> None:
        """Removes a cell that is measured anew."""
        if not self.only_read:
            (self.folder / f"{name}.json").unlink(missing_ok=True)

    def get(self, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        """The cell of that name, measured if it is not there yet; None if it may not be."""
        found = self.read(name)
        if found is not None or self.only_read:
            return found
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        start = time.perf_counter()
        value = measure()
        took = round(time.perf_counter() - start, 1)
        value = {**value, "measured_in_seconds": took, "machine": machine()}
        write_json(self.folder / f"{name}.json", value)
        return value
