"""Time to accuracy and robustness from end to end: a tiny model, generated data, one epoch."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import feedback_rows, feedback_task, save_tiny

pytest.importorskip("peft")

from benchmarks import robustness, time_to_accuracy
from benchmarks.peft_methods import BATCH, LORA, PROMPT_TUNING, VECTORS, Side
from benchmarks.peft_training import Pace, choose_pace, train
from benchmarks.timeline import Timeline, best_of, first_with
from softprompt.inference import answer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny(tmp_path_factory.mktemp("model")))


def write_data(folder: Path) -> Path:
    """Files as the public data sets have them, a few short rows each."""
    rows = feedback_rows(120)
    vsfc, sst2, agnews = (folder / name for name in ("uit-vsfc", "sst2", "agnews"))
    for place in (vsfc, sst2, agnews):
        place.mkdir(parents=True)
    parts = {"train": rows[:64], "dev": rows[64:90], "test": rows[90:]}
    for name, part in parts.items():
        lines = [json.dumps({"text": r["text"], "sentiment": r["label"]}) for r in part]
        (vsfc / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        lines = [f"{r['text']}\t{int(r['label'] == 'good')}" for r in part]
        (sst2 / f"{name}.tsv").write_text("\n".join(["sentence\tlabel", *lines]) + "\n", "utf-8")
        lines = [f"{r['text']},{r['label']}" for r in part]
        text = "\n".join(["title_and_text,category", *lines]) + "\n"
        (agnews / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def report(
    script: Any,
    arguments: Sequence[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> dict[str, Any]:
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments, "--json"])
    script.main()
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.slow
def test_both_benchmarks_share_their_runs(
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = write_data(tmp_path / "data")
    common = ["--data", str(data), "--model", model, "--cells", str(tmp_path / "cells")]
    common += ["--rows", "48", "--epochs", "1", "--no-compile", "--tasks", "sst2"]
    raced = report(time_to_accuracy, [*common, "--seeds", "1"], monkeypatch, capsys)
    names = [one["name"] for one in raced["claims"]]
    assert names == ["time_to_accuracy_sst2"]
    race = raced["details"]["tasks"]["sst2"]
    first = race["seeds"][0]
    assert len(race["peft_rates"]) == 4
    assert first["score"] == max(one["validation"] for one in race["peft_rates"].values())
    assert (
        race["peft_all_rates_seconds"]
        > first["peft_run_seconds"]
        >= first["peft_best"]["seconds"]
        > 0
    )
    claim = raced["claims"][0]
    if first["our_first"] is None:
        assert claim["value"] == 0
    else:
        ratio = first["peft_best"]["seconds"] / first["our_first"]["seconds"]
        assert claim["value"] == pytest.approx(ratio, abs=1e-3)

    cells = list((tmp_path / "cells").rglob("*.json"))
    written = {file: file.stat().st_mtime_ns for file in cells}
    result = report(robustness, [*common, "--seeds", "2"], monkeypatch, capsys)
    assert all(file.stat().st_mtime_ns == before for file, before in written.items())
    points = result["details"]["points"]["sst2"]
    assert all(len(by_seed) == 2 for by_seed in points.values())
    claims = {one["name"]: one for one in result["claims"]}
    assert set(claims) == {f"{kind}_sst2" for kind in robustness.BOUNDS}
    ours, theirs = (list(points[side].values()) for side in ("ours", "peft"))
    expected = sum(ours) / 2 - sum(theirs) / 2
    assert claims["over_peft_sst2"]["value"] == pytest.approx(expected, abs=1e-3)
    assert claims["worst_sst2"]["value"] == pytest.approx(max(ours) - min(ours), abs=1e-3)
    assert claims["worst_sst2"]["n"] == 2

    # What is finished can be read where the data are not.
    common[1] = str(tmp_path / "nowhere")
    again = report(robustness, [*common, "--seeds", "3"], monkeypatch, capsys)
    claims = {one["name"]: one for one in again["claims"]}
    assert claims["over_peft_sst2"]["value"] == pytest.approx(expected, abs=1e-3)
    assert claims["over_peft_sst2"]["reason"] == "2 of 3 seeds are measured"


@pytest.mark.parametrize("script", [time_to_accuracy, robustness])
def test_absent_data_are_a_reason(
    script: Any,
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--data", str(tmp_path), "--model", model, "--cells", str(tmp_path / "cells")]
    claims = report(script, arguments, monkeypatch, capsys)["claims"]
    assert all(one["value"] is None and "see --data" in one["reason"] for one in claims)
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
    script.main()
    assert all(len(line) <= 80 for line in capsys.readouterr().out.splitlines())


def test_scores_are_those_of_pefts_own_forward_pass(model: str, tmp_path: Path) -> None:
    side = Side(PROMPT_TUNING, feedback_task(tmp_path), model, "Is it good or bad?", "fp32")
    encoded = side.encode(side.task.validation)
    prompts = side.method.prompts(side.model)
    assert prompts[0].shape == (VECTORS, side.backbone.hidden_size)
    scores = answer(side.backbone, side.task, encoded, prompts).log_scores
    assert scores is not None
    for row, example in enumerate(encoded.examples):
        given = [token for token in example.trunk if token >= 0]
        for choice, wanted in enumerate(example.answers):
            ids = torch.tensor([[*given, *wanted]])
            with torch.no_grad():
                logits = side.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
            log = logits[-len(wanted) - 1 : -1].log_softmax(-1)
            expected = float(log.gather(1, torch.tensor(wanted)[:, None]).sum())
            assert scores[0, row, choice] == pytest.approx(expected, abs=1e-4)


def test_a_batchs_loss_is_that_of_its_rows_alone(model: str, tmp_path: Path) -> None:
    side = Side(PROMPT_TUNING, feedback_task(tmp_path), model, "Is it good or bad?", "fp32")
    rows = side.by_length()[0][:2] + side.by_length()[-1][-2:]
    tokens = [len(side.examples[row].answers[0]) for row in rows]
    alone = sum(n * float(side.loss([row])) for n, row in zip(tokens, rows, strict=True))
    assert float(side.loss(rows)) == pytest.approx(alone / sum(tokens), abs=1e-5)


def test_every_row_is_in_one_batch_of_an_epoch(model: str, tmp_path: Path) -> None:
    side = Side(PROMPT_TUNING, feedback_task(tmp_path), model, "Is it good or bad?", "fp32")
    first, second = (list(side.batches(0, epoch)) for epoch in (0, 1))
    assert sorted(row for rows in first for row in rows) == list(range(len(side.examples)))
    assert max(map(len, first)) == BATCH
    assert first != second


@pytest.mark.parametrize("method", [PROMPT_TUNING, LORA], ids=lambda method: method.name)
def test_the_best_validations_weights_are_measured(method: Any, model: str, tmp_path: Path) -> None:
    task = feedback_task(tmp_path)
    text = "Is it good or bad?"
    pace = choose_pace(method, task, model, text, compiling=False)["pace"]
    # Test rows that are the validation rows: the best validation's score comes back.
    found = train(
        method,
        replace(task, test=task.validation),
        model,
        text=text,
        rate=0.03,
        epochs=3,
        validations=1,
        seed=0,
        metric="accuracy",
        pace=Pace(**pace),
    )
    assert len(found["timeline"]) == 3
    assert found["validation"] == max(point["score"] for point in found["timeline"])
    assert found["test"]["accuracy"] == pytest.approx(found["validation"])


def test_a_score_is_reached_at_the_first_validation_that_has_it() -> None:
    points = [{"seconds": float(n), "score": s} for n, s in enumerate((0.5, 0.7, 0.6, 0.7))]
    assert first_with(points, 0.6) == best_of(points) == points[1]
    assert first_with(points, 0.8) is None
    assert best_of([]) is None


def test_pauses_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 1.0, 6.0, 8.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    timeline = Timeline()
    with timeline.paused():
        pass
    timeline.note(0.5)
    assert timeline.points[0]["seconds"] == 3.0
