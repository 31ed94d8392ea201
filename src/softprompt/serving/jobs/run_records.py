"""What a run's folder tells while it trains and afterwards: plan, records, result.

The files are those that `softprompt tune` writes (`plan.json`, `metrics.jsonl`, `result.json`);
they are only read, and what is not there yet is absent. It does not know who asks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["RunRecords"]


@dataclass(frozen=True)
class RunRecords:
    """A run as its folder tells it.

    Args:
        plan: what was decided at the start; None before.
        planned: seconds since 1970 when it was.
        records: one for each validation, oldest first.
        recorded: seconds since 1970 of the last one.
        result: what it found; None before its end.
        ended: seconds since 1970 of the end.
    """

    plan: Mapping[str, Any] | None = None
    planned: float = 0.0
    records: tuple[Mapping[str, Any], ...] = field(default=())
    recorded: float = 0.0
    result: Mapping[str, Any] | None = None
    ended: float = 0.0

    @classmethod
    def of(cls, folder: Path) -> RunRecords:
        """Reads what is there; a line that is being written is left out."""
        plan, planned = _object(folder / "plan.json")
        result, ended = _object(folder / "result.json")
        lines, recorded = _text(folder / "metrics.jsonl")
        records = []
        for line in lines.splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                break
            if isinstance(record, dict) and isinstance(record.get("step"), int):
                records.append(record)
        return cls(plan, planned, tuple(records), recorded, result, ended)

    @property
    def interrupted(self) -> bool:
        """Whether it can go on."""
        return self.result is None or self.result.get("stopped") == "interrupted"

    @property
    def steps(self) -> int | None:
        """Steps of the whole run, once they are known."""
        return None if self.plan is None else int(self.plan["steps"])

    @property
    def epochs(self) -> int | None:
        """Passes over the rows, once they are known."""
        if self.plan is None:
            return None
        return max(1, round(int(self.plan["steps"]) / max(1, int(self.plan["steps_per_epoch"]))))

    @property
    def estimated_end(self) -> int | None:
        """Seconds since 1970 when training is likely to end."""
        if self.plan is None:
            return None
        return int(self.planned + float(self.plan["estimate_seconds"]))


def _text(path: Path) -> tuple[str, float]:
    try:
        return path.read_text(encoding="utf-8"), path.stat().st_mtime
    except (OSError, ValueError):
        return "", 0.0


def _object(path: Path) -> tuple[dict[str, Any] | None, float]:
    text, changed = _text(path)
    try:
        value = json.loads(text)
    except ValueError:
        return None, 0.0
    return (value, changed) if isinstance(value, dict) else (None, 0.0)
