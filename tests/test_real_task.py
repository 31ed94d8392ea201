"""The main job on real text with `nano`: the effect is there, not only the machinery."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from softprompt import SoftPrompt, Task, load_backbone, predict, tune
from softprompt.tasks.samples import load_sample

pytestmark = pytest.mark.slow


def test_the_sample_task_is_learned(tmp_path: Path) -> None:
    task = load_sample("vi")
    backbone = load_backbone("nano")
    result = tune(task, backbone, tmp_path / "run")
    test, baselines = result["test"], result["baselines"]
    best = max(baselines["majority"]["macro_f1"], baselines["zero_shot"]["macro_f1"])
    assert test["macro_f1"] > best + 0.15
    assert test["macro_f1_interval"][0] > baselines["majority"]["macro_f1"]
    prompt = SoftPrompt.load(result["prompt"])
    answers = predict(prompt, [row.columns["text"] for row in task.test], backbone)
    right = sum(a.answer == row.answer for a, row in zip(answers, task.test, strict=True))
    assert abs(right / len(answers) - test["accuracy"]) < 0.02


@pytest.mark.parametrize("placement", ["suffix", "prefix"])
def test_student_feedback_is_learned(tmp_path: Path, shared: Path, placement: str) -> None:
    folder = shared / "data" / "uit-vsfc"
    task = Task.from_file(
        folder / "train.jsonl",
        validation=str(folder / "dev.jsonl"),
        test=str(folder / "test.jsonl"),
        input="text",
        target="sentiment",
        limit=600,
    )
    task = replace(task, validation=task.validation[:300], test=task.test[:600])
    result = tune(task, load_backbone("nano"), tmp_path / "run", placement=placement, epochs=8)
    majority = result["baselines"]["majority"]["macro_f1"]
    assert result["test"]["macro_f1"] > majority + 0.1
