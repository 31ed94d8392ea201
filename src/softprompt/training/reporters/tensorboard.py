"""Curves for TensorBoard, under `tensorboard/` in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softprompt.training.reporters import REPORTERS, Reporter, scalars, tracker

__all__ = ["TensorBoard"]


@REPORTERS.register("tensorboard")
class TensorBoard(Reporter):
    """Every number of every record, by step.

    Raises:
        UsageError: tensorboard is not installed.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self._writer = tracker("torch.utils.tensorboard").SummaryWriter(str(folder / "tensorboard"))

    def record(self, record: Mapping[str, Any]) -> None:
        """Writes the record's numbers."""
        for name, value in scalars(record).items():
            self._writer.add_scalar(name, value, record["step"])

    def close(self, result: Mapping[str, Any] | None) -> None:
        """Ends the event file."""
        self._writer.close()
