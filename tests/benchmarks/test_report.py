"""What benchmarks print, and that finished cells are kept."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks.cells import Cells
from benchmarks.quality import _claims, markdown
from benchmarks.report import claim, command, missing, show


def test_a_claim_holds_or_not_by_its_direction() -> None:
    assert claim("a", [10.0, 20.0], 15.0, "at_least", "points").holds is True
    assert claim("a", [10.0, 19.0], 15.0, "at_least", "points").holds is False
    assert claim("a", [10.0, 19.0], 15.0, "at_most", "points").holds is True
    assert claim("a", [10.0], 15.0, "at_most", "points").spread is None
    assert missing("a", 15.0, "at_most", "points", "no data").holds is None


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    show([claim("a", [1.0, 2.0], 1.0, "at_least", "points")], {"x": 1}, as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"claims", "machine", "details"}
    assert set(report["claims"][0]) == {
        "name",
        "value",
        "bound",
        "direction",
        "unit",
        "n",
        "spread",
        "holds",
        "reason",
    }


def test_the_command_is_told_without_folders() -> None:
    words = ["/a/benchmarks/memory.py", "--repeats", "2", "--cells", "/b", "--data=/c", "--json"]
    assert command(words) == "python -m benchmarks.memory --repeats 2 --json"
    assert command(["scale.py", "--text", "vi=/a", "--seeds", "1"]).endswith("scale --seeds 1")


def test_the_table_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    show([missing("vsfc_over_baseline", 15, "at_least", "points", "")], {}, as_json=False)
    assert all(len(line) <= 80 for line in capsys.readouterr().out.splitlines())


def test_claims_of_a_half_measured_table_are_missing() -> None:
    table = {"vsfc": {"majority": [20.0], "zero_shot": [25.0], "suffix": [60.0, 62.0], "full": []}}
    over, below = _claims(table)
    assert (over.value, over.n, over.holds) == (36.0, 2, True)
    assert below.value is None
    _, below = _claims({"vsfc": {**table["vsfc"], "full": [63.0]}})
    assert (below.value, below.n, below.reason) == (3.0, 1, "1 seeds have both")
    assert "| best hand prompt | 25.0 |" in markdown(table)
    assert "61.0 ± 1.4" in markdown(table)


def test_finished_cells_are_kept(tmp_path: Path) -> None:
    calls = []

    def measure() -> dict[str, int]:
        calls.append(1)
        return {"x": 1}

    assert Cells(tmp_path, "s", only_read=True).get("a", measure) is None
    first, second = (Cells(tmp_path, "s").get("a", measure) for _ in range(2))
    assert first == second
    assert len(calls) == 1
    assert first is not None
    assert first["machine"]["cores"] == os.cpu_count()
    Cells(tmp_path, "other").get("a", measure)
    assert len(calls) == 2
