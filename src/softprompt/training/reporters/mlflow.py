"""Records for MLflow, in the experiment `softprompt`, the run named after its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softprompt.training.reporters import REPORTERS, Reporter, scalars, tracker

__all__ = ["MLflow"]


@REPORTERS.register("mlflow")
class MLflow(Reporter):
    """Every number of every record, by step; where to is MLflow's own configuration.

    Raises:
        UsageError: mlflow is not installed.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self._library = tracker("mlflow")
        self._library.set_experiment("softprompt")
        self._library.start_run(run_name=folder.name)
        self._library.log_dict(dict(config), "config.json")

    def record(self, record: Mapping[str, Any]) -> None:
        """Logs the record's numbers."""
        self._library.log_metrics(scalars(record), step=record["step"])

    def close(self, result: Mapping[str, Any] | None) -> None:
        """Ends the run, as failed where it has no result."""
        self._library.end_run("FINISHED" if result is not None else "FAILED")
