"""The audit log: a line before, a line after, none without the other's reason."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from softprompt.errors import UsageError
from softprompt.serving.audit import Audit


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_action_leaves_two_lines(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit.jsonl")
    with audit.action("publish", by="key 1", name="tin\nmới") as found:
        found["version"] = 3
    begun, done = lines(tmp_path / "audit.jsonl")
    assert (begun["stage"], done["stage"], done["version"]) == ("begun", "done", 3)
    assert begun["name"] == done["name"] == "tin\nmới"
    assert begun["time"] <= done["time"]


def test_a_failure_is_noted_with_its_reason(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit.jsonl")
    with pytest.raises(UsageError), audit.action("remove", by="key 1", name="a"):
        raise UsageError("There is none.")
    with pytest.raises(RuntimeError), audit.action("remove", by="key 1", name="a"):
        raise RuntimeError("a secret")
    assert [line.get("why") for line in lines(tmp_path / "audit.jsonl")] == [
        None, "There is none.", None, "RuntimeError",
    ]  # fmt: skip


def test_what_cannot_be_noted_is_not_done(tmp_path: Path) -> None:
    audit = Audit(tmp_path)
    done = []
    with pytest.raises(UsageError, match="Cannot write"), audit.action("remove", by="key 1"):
        done.append(1)
    assert not done


def test_a_line_that_a_full_disk_takes_in_part_is_not_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        os, "write", lambda handle, content, write=os.write: write(handle, content[:5])
    )
    done = []
    with (
        pytest.raises(UsageError, match="the disk is full"),
        Audit(tmp_path / "audit.jsonl").action("remove", by="key 1"),
    ):
        done.append(1)
    assert not done
