"""Optional reporters: TensorBoard for real where it is there, the others at their boundary."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from softprompt.errors import UsageError
from softprompt.training.reporters import REPORTERS

RECORD = {"kind": "validation", "step": 7, "loss": 0.5, "drift": [1.0], "best": True}


def fake(calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]]) -> types.ModuleType:
    """A module that takes any call and writes it down."""

    class Fake(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            return lambda *args, **kwargs: calls.append((name, args, kwargs))

    return Fake("fake")


@pytest.mark.parametrize("name", ["wandb", "trackio", "mlflow"])
def test_records_reach_the_tracker(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
    monkeypatch.setitem(sys.modules, name, fake(calls))
    reporter = REPORTERS.get(name)(tmp_path / "reviews", {"data": "a.csv"})
    reporter.record(RECORD)
    reporter.close({"test": None})
    logged = next(call for call in calls if call[0] in {"log", "log_metrics"})
    assert logged[1] == ({"validation/loss": 0.5, "validation/best": 1.0},)
    assert logged[2] == {"step": 7}
    assert calls[-1][0] in {"finish", "end_run"}
    assert any("reviews" in str(call) for call in calls)


def test_tensorboard_writes_events(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    reporter = REPORTERS.get("tensorboard")(tmp_path, {})
    reporter.record(RECORD)
    reporter.close(None)
    assert any((tmp_path / "tensorboard").iterdir())


def test_a_missing_library_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError, match="needs the library 'wandb'"):
        REPORTERS.get("wandb")(tmp_path, {})
