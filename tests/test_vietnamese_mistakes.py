"""A typical mistake of each room, said in Vietnamese with its hint."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import feedback_task, save_tiny, tiny_backbone

from softprompt import tune
from softprompt.cli import main
from softprompt.cluster import Replicas, ReplicaSettings
from softprompt.comparison import CompareConfig, Comparison
from softprompt.errors import SoftPromptError
from softprompt.inference import Predictor
from softprompt.locale import set_language
from softprompt.prompts import SoftPrompt
from softprompt.training import RunConfig
from softprompt.training.yaml_values import assignment

FAST: dict[str, Any] = {"epochs": 1, "population": 1, "length": 4, "baselines": ()}


@pytest.fixture(autouse=True)
def vietnamese(english: None) -> None:
    set_language("vi")


def test_a_folder_that_is_no_prompt(tmp_path: Path) -> None:
    with pytest.raises(SoftPromptError) as told:
        SoftPrompt.load(tmp_path)
    assert (
        told.value.message == f"{tmp_path} không phải soft prompt: trong đó không có prompt.json."
    )
    assert told.value.hint == "Hãy nêu thư mục do `softprompt tune` ghi (`prompt` trong đó)."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "epochs=0",
            "training.epochs không thể là 0: giá trị phải lớn hơn hoặc bằng 1.",
        ),
        (
            "readout=maybe",
            "training.readout không thể là 'maybe': giá trị phải là 'auto', 'on' hoặc 'off'.",
        ),
        ("epoch=3", "Thiết lập 'epoch' không có hoặc không rõ thuộc mục nào."),
    ],
)
def test_a_setting_that_cannot_be(text: str, message: str) -> None:
    with pytest.raises(SoftPromptError) as told:
        RunConfig.of("reviews.csv", assignments=[text])
    assert told.value.message == message
    if text == "epochs=0":
        assert told.value.hint.startswith("Số lượt tối đa đi qua các dòng huấn luyện;")


def test_an_assignment_without_its_sign() -> None:
    with pytest.raises(SoftPromptError) as told:
        assignment("epochs", "epochs=10")
    assert str(told.value) == "'epochs' không phải phép gán. Hãy viết chẳng hạn --set epochs=10."


def test_a_run_of_other_settings_and_rows_with_a_label_of_their_own(tmp_path: Path) -> None:
    task, backbone = feedback_task(tmp_path), tiny_backbone()
    found = tune(task, backbone, tmp_path / "run", **FAST)
    with pytest.raises(SoftPromptError) as told:
        tune(task, backbone, tmp_path / "run", **{**FAST, "length": 5})
    assert told.value.message == (
        "Lượt chạy trong thư mục này đã bắt đầu với thiết lập khác: prompt.length không giống."
    )
    predictor = Predictor(SoftPrompt.load(found["prompt"]), backbone)
    odd = replace(task.test[0], answer="lukewarm")
    with pytest.raises(SoftPromptError) as told:
        predictor.evaluate([odd])
    assert "có nhãn lạ 'lukewarm'; prompt biết [" in told.value.message
    assert told.value.hint == "Hãy sửa nhãn, hoặc huấn luyện một prompt biết nhãn đó."


def test_a_method_that_a_backbone_cannot_take(tmp_path: Path) -> None:
    feedback_task(tmp_path)
    config = RunConfig.of(
        f"{tmp_path}/feedback.jsonl",
        backbone={"model": str(save_tiny(tmp_path / "model", "bert")), "dtype": "fp32"},
    )
    comparison = Comparison.begin(tmp_path / "run", config, CompareConfig(methods=("zero_shot",)))
    comparison.measure("zero_shot")
    told = comparison.report()["errors"]["zero_shot"]
    assert told["kind"] == "refused"
    assert told["error"].startswith("BertModel là bộ mã hóa: không có đầu phân loại")
    assert told["error"].endswith("Phương pháp gần nhất dùng được là soft_prompt.")


def test_an_amount_that_would_answer_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOFTPROMPT_LANG", "vi")
    assert main(["serve", str(tmp_path), "--max-rows", "0"]) == 2
    assert capsys.readouterr().err == (
        "lỗi: Thiết lập --max-rows không thể là 0. Đó là một số nguyên, từ 1 trở lên.\n"
    )


def test_replicas_without_their_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SoftPromptError) as told:
        Replicas(ReplicaSettings(prompts=str(tmp_path)))
    assert told.value.message == "Chạy các bản sao cần Ray Serve, nhưng chưa cài."
