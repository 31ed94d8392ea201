"""`softprompt compare`: a process a method, a table, one object with --json, going on, mistakes."""

from __future__ import annotations

import json
from pathlib import Path

from cli.conftest import Shell

QUICK = ["--epochs", 1, "--length", 4, "--set", "population=1"]


def test_a_comparison_from_start_to_table(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = [data, "--model", tiny_folder, "--output", run, "--methods", "majority,soft_prompt"]
    ended = shell("compare", *words, *QUICK, "--json")
    assert ended.code == 0, ended.err
    assert "Measuring soft_prompt ..." in ended.err
    assert list(ended.value["methods"]) == ["majority", "soft_prompt"]
    assert ended.value["errors"] == {}
    assert ended.value["recommendation"]["method"] in ended.value["methods"]
    assert ended.value["methods"]["soft_prompt"]["peak_memory_bytes"] > 1_000_000
    assert ended.value == json.loads((run / "report.json").read_text("utf-8"))

    shown = shell("compare", "--resume", run)
    assert "Measuring" not in shown.err
    assert "majority guess" in shown.out
    assert "Choose:" in shown.out
    assert all(len(line) <= 80 for line in shown.out.splitlines()[:6])


def test_one_method_can_be_measured_here(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    (run / "methods" / "majority").mkdir(parents=True)
    assert "already in use" in shell.mistake("compare", data, "--output", run)
    (run / "methods" / "majority").rmdir()
    (run / "methods").rmdir()
    words = ["--model", tiny_folder, "--output", run, "--methods", "majority", *QUICK]
    from softprompt.cli.configuration import run_config
    from softprompt.comparison import CompareConfig, Comparison

    flags = {"model": str(tiny_folder), "epochs": 1}
    Comparison.begin(run, run_config(str(data), flags), CompareConfig(methods=("majority", "full")))
    value = shell("compare", "--resume", run, "--only", "majority", "--json").value
    assert list(value["methods"]) == ["majority"]
    assert value["errors"] == {"full": "not measured yet"}
    assert "takes no" in shell.mistake("compare", "--resume", run, *words[:2])


def test_mistakes(shell: Shell, data: Path, tmp_path: Path) -> None:
    assert "There is no DATA" in shell.mistake("compare", "--output", tmp_path / "a")
    assert "There is no --output" in shell.mistake("compare", data)
    told = shell.mistake("compare", data, "--output", tmp_path / "b", "--methods", "lorra")
    assert "Unknown method 'lorra'" in told
    assert "lora" in told
    absent = shell.mistake("compare", tmp_path / "absent.csv", "--output", tmp_path / "d")
    assert "absent.csv" in absent
    assert not (tmp_path / "d").exists()
    assert "holds no comparison" in shell.mistake("compare", "--resume", tmp_path / "c")
