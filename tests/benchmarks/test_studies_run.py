"""The studies from end to end: a tiny model, generated data, one epoch; finished cells stay."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from test_runs import write_data
from tiny import save_tiny

pytest.importorskip("peft")

from benchmarks import generation_tasks, scale_models
from softprompt.evaluation import score_generation

COMMON = ["--rows", "48", "--epochs", "1", "--test-rows", "12", "--seeds", "1"]
NO_MORE = ["--parametrisation-tasks", "", "--hybrid-tasks", ""]
RUNS = {
    "methods": ["--tasks", "sst2", "--sides", "hand,suffix,kv,full", *NO_MORE],
    "forgetting": ["--tasks", "sst2"],
    "length": ["--tasks", "sst2", "--lengths", "1,4"],
    "noise": ["--tasks", "sst2", "--kinds", "irrelevant"],
    "initialisation": ["--tasks", "sst2"],
    "stability": ["--tasks", "sst2", "--seeds", "2"],
}
NAMES = (*RUNS, "generation", "scale")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny(tmp_path_factory.mktemp("model")))


def write_records(data: Path, count: int = 60) -> Path:
    """Feedback with a sentiment and a topic, news and pairs, as the public data sets have them."""
    made = {
        "uit-vsfc": {"text": "lớp {n} rất vui", "sentiment": "positive", "topic": "lecturer"},
        "vietnews": {"title": "Tin {n}", "abstract": "Tóm lại {n}.", "body": "Hôm nay {n} " * 99},
        "tatoeba-en-vi": {"en": "I see {n}.", "vi": "Tôi thấy {n}."},
    }
    for folder, record in made.items():
        (data / folder).mkdir(parents=True, exist_ok=True)
        for part, first in (("train", 0), ("dev", 500), ("test", 900)):
            rows = [
                {key: text.replace("{n}", str(first + n)) for key, text in record.items()}
                for n in range(count)
            ]
            lines = [json.dumps(row, ensure_ascii=False) for row in rows]
            (data / folder / f"{part}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return data


def report(
    name: str,
    arguments: Sequence[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> dict[str, Any]:
    script = importlib.import_module(f"benchmarks.{name}")
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments, "--json"])
    script.main()
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_study_measures_draws_and_goes_on(
    name: str,
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = write_data(tmp_path / "data")
    common = ["--data", str(data), "--model", model, "--cells", str(tmp_path / "cells")]
    common += [*COMMON, *RUNS[name]]
    first = report(name, [*common, "--plot", str(tmp_path / "p.png")], monkeypatch, capsys)
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert first["details"]["finding"] != "Nothing was measured yet."
    assert not first["details"].get("missing")
    cells = sorted((tmp_path / "cells").rglob("*.json"))
    written = {file: file.stat().st_mtime_ns for file in cells}
    common[1] = str(tmp_path / "nowhere")
    again = report(name, [*common, "--only-read"], monkeypatch, capsys)
    values = [
        [(one["name"], one["value"], one["n"], one["holds"]) for one in each["claims"]]
        for each in (first, again)
    ]
    assert values[0] == values[1]
    assert again["details"]["finding"] == first["details"]["finding"]
    assert {file: file.stat().st_mtime_ns for file in cells} == written
    if name == "forgetting":
        claim = first["claims"][0]
        assert (claim["name"], claim["value"], claim["n"]) == ("detached_identical", 1.0, 3)
    if name == "methods":
        near = first["details"]["near_full"]["sst2"]["forms"]
        assert set(near) == {"suffix", "kv"}
        kept = first["details"]["cells"]["sst2"]["kv"][0]
        # 8 places of keys and values in 2 layers of 2 heads, 8 numbers each.
        assert kept["stored_numbers"] == 8 * 2 * 2 * 2 * 8


@pytest.mark.parametrize("name", NAMES)
def test_absent_data_are_a_reason(
    name: str,
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--data", str(tmp_path), "--model", model, "--cells", str(tmp_path / "cells")]
    if name == "scale":
        arguments += ["--text", f"vi={tmp_path / 'absent.txt'}", "--folder", str(tmp_path / "runs")]
    found = report(name, arguments, monkeypatch, capsys)
    assert all(one["value"] is None and "see --" in one["reason"] for one in found["claims"])
    assert found["details"]["finding"].startswith("Nothing was measured yet")
    if not found["claims"]:
        assert all("see --data" in why for why in found["details"]["missing"].values())
        assert found["details"]["missing"]
    arguments += ["--plot", str(tmp_path / "empty.png")]
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
    importlib.import_module(f"benchmarks.{name}").main()
    assert all(len(line) <= 100 for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize("name", generation_tasks.SOURCES)
def test_right_answers_keep_to_what_their_task_demands(name: str, tmp_path: Path) -> None:
    data = write_records(tmp_path / "data")
    task = generation_tasks.task_of(name, data, tmp_path, seed=1, rows=20, held=4, tested=9)
    assert (len(task.train), len(task.test)) == (20, 9)
    assert 0 < len(task.validation) <= 4
    answers = [str(row.answer) for row in task.test]
    metric = score_generation(answers, answers, demands=task.demands)
    if "terms" in task.demands:
        assert metric["term_adherence"] == 1
        assert metric["term_rows"] == 9
        assert metric["format_adherence"] == 1
    other = generation_tasks.task_of(name, data, tmp_path, seed=2, rows=20, held=4, tested=9)
    assert other.train != task.train
    assert (other.validation, other.test) == (task.validation, task.test)


@pytest.mark.slow
def test_free_text_is_measured(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_records(tmp_path / "data")
    arguments = ["--data", str(data), "--model", model, "--cells", str(tmp_path / "cells")]
    found = report(
        "generation", [*arguments, *COMMON, "--tasks", "translation"], monkeypatch, capsys
    )
    assert sorted(found["details"]["order"]["translation"]) == sorted(
        ["hand", "k_shot", "short", "middle", "soft", "lora", "full"]
    )
    assert found["details"]["missing"] == {}


@pytest.mark.slow
def test_sizes_are_pretrained_once_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.txt"
    lines = [f"the parcel number {n} was great and it opens at nine" for n in range(3000)]
    text.write_text("\n\n\n".join(lines), encoding="utf-8")
    shape = "hidden={} layers=1 heads=2 intermediate=32"
    sizes = {"a": shape.format(16), "b": shape.format(32)}
    monkeypatch.setattr(scale_models, "SIZES", sizes)
    data = write_data(tmp_path / "data")
    arguments = ["--data", str(data), "--cells", str(tmp_path / "cells"), "--tasks", "sst2"]
    arguments += ["--sizes", "a,b", "--text", f"en={text}", "--folder", str(tmp_path / "models")]
    small = ("vocabulary=320", "batch_tokens=256", "lengths=64", "cooldown_lengths=64")
    for setting in (*small, "compile=false", "steps=3", "bfloat16=false", "threads=1"):
        arguments += ["--set", setting]
    tokens = ["--tokens", "1000"]
    found = report("scale", [*arguments, *COMMON, *tokens], monkeypatch, capsys)
    assert [one["parameters"] for one in found["details"]["models"]] == sorted(
        one["parameters"] for one in found["details"]["models"]
    )
    claim = found["claims"][0]
    assert claim["name"] == "distance_slope" and claim["n"] == 2

    weights = list((tmp_path / "models").rglob("*.safetensors"))
    written = {file: file.stat().st_mtime_ns for file in weights}
    again = report("scale", [*arguments, *COMMON, *tokens], monkeypatch, capsys)
    assert again["claims"] == found["claims"]
    assert {file: file.stat().st_mtime_ns for file in weights} == written

    for file in (tmp_path / "cells").rglob("sst2-suffix-0.json"):
        file.unlink()
    moved = (tmp_path / "models").rename(tmp_path / "moved")
    gone = report("scale", [*arguments, *COMMON, *tokens], monkeypatch, capsys)["claims"][0]
    assert gone["value"] is None and "see --folder" in gone["reason"]
    there = [*arguments, "--folder", str(moved)]
    assert report("scale", [*there, *COMMON, *tokens], monkeypatch, capsys)["claims"][0]["n"] == 2
