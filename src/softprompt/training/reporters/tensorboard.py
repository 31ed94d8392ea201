"""Curves for TensorBoard, under `tensorboard/` in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softprompt.errors import UsageError
from softprompt.training.reporters import REPORTERS, Reporter

__all__ = ["TensorBoard"]


@REPORTERS.register("tensorboard")
class TensorBoard(Reporter):
    """Every number of every record, by step.

    Raises:
        UsageError: tensorboard is not installed.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UsageError(
                "The reporter `tensorboard` is not installed.",
                "Run: pip install 'softprompt[reporters]'",
            ) from error
        self._writer = SummaryWriter(str(folder / "tensorboard"))

    def record(self, record: Mapping[str, Any]) -> None:
        """Writes the record's scalars as `kind/name`."""
        for name, value in record.items():
            if isinstance(value, int | float) and name != "step":
                self._writer.add_scalar(f"{record['kind']}/{name}", value, record["step"])

    def close(self, result: Mapping[str, Any] | None) -> None:
        """Ends the event file."""
        self._writer.close()
