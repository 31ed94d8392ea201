"""The memory benchmark: what a watch sees, each side with a tiny model, claims from peaks."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("peft")

from benchmarks import memory
from benchmarks.cells import Cells
from benchmarks.memory_sides import SIDES, TINY, measure
from benchmarks.resident import Watch

MB = 1_000_000


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="the kernel's peak cannot be set back"
)
def test_a_watch_sees_the_peak_and_not_what_was_there_before(tmp_path: Path) -> None:
    file = tmp_path / "mapped"
    file.write_bytes(b"1" * 40 * MB)
    held = torch.ones(25 * MB)
    with Watch() as watch:
        passing = torch.ones(20 * MB)
        # What is anonymous is sampled; a busy machine samples late.
        time.sleep(1)
        del passing
        mapped = torch.from_file(str(file), size=40 * MB, dtype=torch.uint8)
        assert int(mapped.amax()) == ord("1")
    peak = watch.peak
    assert len(held) == 25 * MB
    assert peak.before > 100 * MB
    assert peak.resident == pytest.approx(80 * MB, rel=0.1)
    assert peak.anonymous == pytest.approx(80 * MB, rel=0.1)
    assert peak.mapped == pytest.approx(40 * MB, rel=0.1)


@pytest.mark.parametrize("side", SIDES)
def test_every_side_takes_its_steps(side: str) -> None:
    found = measure(side, TINY, "bf16", 2, 6, 4, 2)
    assert found["resident"] >= 0
    assert (found.get("stored_bytes", 0) > 0) == (side == "suffix-disk")
    weights = 2 if not side.startswith("full") or side == "full-half" else 4
    assert found["weight_bytes"] == weights * TINY.parameters
    if side in ("suffix", "suffix-held"):
        rows = {"suffix": 2, "suffix-held": 4}[side]
        # Keys and values of 6 tokens in 2 layers, 2 heads of 8 numbers, 2 bytes each.
        assert found["cache_bytes"] == rows * 2 * 6 * 2 * 2 * 8 * 2


@pytest.mark.slow
def test_a_measurement_is_a_process_of_its_own_and_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = "--shape tiny --rows 2 --tokens 6 --held 4 --repeats 1 --dtypes fp32 --json"
    sides = ["--sides", "suffix", "--cells", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["memory", *arguments.split(), *sides])
    memory.main()
    report = json.loads(capsys.readouterr().out)
    (found,) = report["details"]["cases"][0]["measurements"]
    assert found["before"] > 10 * MB
    assert report["details"]["cases"][0]["peak"] == found[report["details"]["counted"]]
    assert report["claims"][0]["value"] is None
    monkeypatch.setattr(sys, "executable", "false")
    memory.main()
    assert json.loads(capsys.readouterr().out) == report


def test_a_process_that_ends_badly_is_reported_and_not_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    names = ("shape", "rows", "tokens", "held", "steps")
    arguments = argparse.Namespace(repeats=1, **dict.fromkeys(names, 1))
    (found,) = memory.measure_all([("suffix", "fp32")], Cells(tmp_path, "s"), arguments)
    assert found["measurements"] == [{"error": "exit code 1, nothing printed"}]
    assert not list(tmp_path.rglob("*.json"))


def case(side: str, dtype: str, *peaks: int | str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [
        {"error": peak}
        if isinstance(peak, str)
        else {"resident": peak, "device": peak, "mapped": 0, "cache_bytes": 160}
        for peak in peaks
    ]
    return memory._case(side, dtype, found)


def test_the_claim_is_the_least_favourable_ratio() -> None:
    cases = [
        case("suffix", "fp32", 100, 120),
        case("suffix-disk", "fp32", 200, 240),
        case("full", "fp32", 1000, 1000),
        case("suffix", "bf16", 100, 100),
        case("full", "bf16", 1000, 1000),
        case("full-half", "bf16", 250, 500),
        case("full-checkpointed", "bf16", 1, 1),
    ]
    found = memory.memory_claim(cases)
    assert (found.value, found.n, found.holds) == (0.3, 2, False)
    assert found.reason.endswith("bf16")
    assert memory.memory_claim(cases[:3]).value == pytest.approx(0.22)
    # 160 bytes of 16 rows: 10 a row; a quarter of 1000 leaves room for 14 more than 110 take.
    assert memory.cache_growth(cases, 16)["fp32"] == {"bytes_per_row": 10.0, "rows_at_bound": 30}


def test_a_side_that_memory_does_not_hold_is_named() -> None:
    found = memory.memory_claim([case("suffix", "fp32", 1), case("full", "fp32", "exit code -9")])
    assert found.value is None
    assert found.reason == "full in fp32: exit code -9"
    one = [case("suffix", "fp32", 1), case("full", "fp32", 4), case("lora", "fp32", "no memory")]
    assert memory.memory_claim(one).value == 0.25
    assert "lora in fp32: no memory" in memory.memory_claim(one).reason


def test_the_table_fits_80_columns() -> None:
    cases = [case("full-checkpointed", "fp32", 14_000 * MB), case("lora", "fp32", "no memory")]
    lines = memory.table(cases).splitlines()
    assert lines[1].split()[:3] == ["full-checkpointed", "fp32", "14000"]
    assert all(len(line) <= 80 for line in lines)
