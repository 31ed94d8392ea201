"""Records for trackio, in the project `softprompt`, the run named after its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softprompt.training.reporters import REPORTERS, Reporter, scalars, tracker

__all__ = ["Trackio"]


@REPORTERS.register("trackio")
class Trackio(Reporter):
    """Every number of every record, by step; where to and how is its own configuration's matter.

    Raises:
        UsageError: trackio is not installed.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self._library = tracker("trackio")
        self._library.init(project="softprompt", name=folder.name, config=dict(config))

    def record(self, record: Mapping[str, Any]) -> None:
        """Logs the record's numbers."""
        self._library.log(scalars(record), step=record["step"])

    def close(self, result: Mapping[str, Any] | None) -> None:
        """Ends the run."""
        self._library.finish()
