"""Methods side by side on a tiny model: measured once, gone on with, failures written down."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import feedback_task, save_tiny, tiny_backbone

from softprompt.comparison import METHODS, CompareConfig, Comparison, compare
from softprompt.comparison.job import Job, Measured
from softprompt.comparison.methods import Method
from softprompt.comparison.report import report
from softprompt.comparison.weights import Lesson, train_weights
from softprompt.errors import UsageError
from softprompt.tasks import Row, Task
from softprompt.training import RunConfig

FAST: dict[str, Any] = {"epochs": 1, "population": 1, "batch_size": 8}
HOW = {"search_epochs": 1, "epochs": 1, "lora_rates": (1e-3,), "full_rates": (1e-3, 1e-2)}


def begun(folder: Path, *methods: str, **how: Any) -> Comparison:
    folder.mkdir(exist_ok=True)
    feedback_task(folder)
    config = RunConfig.of(
        f"{folder}/feedback.jsonl",
        backbone={"model": str(save_tiny(folder / "model")), "dtype": "fp32"},
        prompt={"length": 4},
        training=FAST,
    )
    return Comparison.begin(folder / "run", config, CompareConfig(methods=methods, **HOW, **how))


def test_every_method_is_measured_on_the_same_rows(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    comparison = begun(tmp_path, *CompareConfig().methods)
    found = compare(comparison)
    assert found["errors"] == {}
    methods = found["methods"]
    assert list(methods) == list(CompareConfig().methods)
    assert len({method["test"]["n"] for method in methods.values()}) == 1
    assert methods["soft_prompt"]["p_value"] is None
    assert all(0 < m["p_value"] <= 1 for n, m in methods.items() if n != "soft_prompt")
    assert methods["majority"]["trainable_parameters"] == 0
    sizes = [methods[name]["trainable_parameters"] for name in ("soft_prompt", "lora", "full")]
    assert sizes[0] == 4 * 32 < sizes[1] < sizes[2] == tiny_backbone().parameters
    assert methods["full"]["stored_bytes"] == 4 * tiny_backbone().parameters
    assert set(methods["full"]["details"]["rates"]) == {"0.001", "0.01"}
    assert methods["full"]["seconds"]["search"] > 0
    assert json.loads((tmp_path / "run" / "report.json").read_text()) == found

    # Begun again, nothing is measured again.
    again = Comparison(tmp_path / "run")
    assert again.missing() == []
    assert compare(again, apart=pytest.fail) == found


def test_a_method_that_fails_is_written_down_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(job: Job) -> Measured:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")

    comparison = begun(tmp_path, "majority", "full")
    right = METHODS.get("full")
    monkeypatch.setitem(METHODS._choices, "full", Method(failing, 5))
    found = compare(comparison)
    assert found["errors"] == {"full": "CUDA out of memory. Tried to allocate 2 GiB."}
    assert list(found["methods"]) == ["majority"]
    assert Comparison(tmp_path / "run").missing() == ["full"]
    monkeypatch.setitem(METHODS._choices, "full", right)
    assert compare(Comparison(tmp_path / "run"))["errors"] == {}


def test_what_cannot_be_compared_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"[Uu]nknown method 'laura'"):
        begun(tmp_path / "a", "laura")
    module = importlib.import_module("softprompt.comparison.compare")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs peft, which is not installed"):
        begun(tmp_path / "b", "lora")
    assert not (tmp_path / "b" / "run").exists()
    with pytest.raises(UsageError, match="holds no comparison"):
        Comparison(tmp_path / "c")
    begun(tmp_path / "d", "majority")
    with pytest.raises(UsageError, match="already in use"):
        begun(tmp_path / "d", "majority")


def test_weights_that_are_frozen_stay_and_the_best_epoch_is_kept(tmp_path: Path) -> None:
    task, backbone = feedback_task(tmp_path), tiny_backbone()
    backbone.model.requires_grad_(False)
    free = backbone.model.model.layers[1].mlp.down_proj.weight.requires_grad_()
    before = {name: p.detach().clone() for name, p in backbone.model.named_parameters()}
    scores: list[float] = []
    kept: list[torch.Tensor] = []

    def noted(score: float) -> None:
        scores.append(score)
        kept.append(free.detach().clone())

    lesson = Lesson(rate=1e-2, epochs=3, seed=0, metric="accuracy")
    best, epoch = train_weights(backbone, task, lesson, noted=noted)
    assert len(scores) == 3
    assert (best, epoch) == (max(scores), scores.index(max(scores)) + 1)
    assert torch.equal(free, kept[epoch - 1])
    changed = [n for n, p in backbone.model.named_parameters() if not torch.equal(p, before[n])]
    assert changed == ["model.layers.1.mlp.down_proj.weight"]
    backbone.model.requires_grad_(False)


def a_task(answers: str) -> Task:
    from softprompt.tasks import Choice

    rows = tuple(Row("f", n, {"text": str(n)}, answer) for n, answer in enumerate(answers, 1))
    choices = (Choice("a", "a"), Choice("b", "b"))
    return Task("t", "classification", None, choices, "label", ("text",), (), (), rows)


def a_result(answers: str, accuracy: float) -> dict[str, Any]:
    test = {"n": len(answers), "accuracy": accuracy, "macro_f1": accuracy, "interval": [0, 1]}
    return {
        "test": test,
        "answers": list(answers),
        "validation": None,
        "trainable": 0,
        "stored_bytes": 0,
        "seconds": {},
        "peak_memory_bytes": 0,
        "details": {},
    }


def test_the_cheapest_that_is_as_good_is_recommended() -> None:
    task = a_task("ab" * 20)
    right, poor, near = "ab" * 20, "aa" * 20, "ab" * 19 + "aa"
    results = {
        "zero_shot": a_result(poor, 0.5),
        "soft_prompt": a_result(near, 0.975),
        "full": a_result(right, 1.0),
    }
    found = report(task, results, {"lora": "no memory"})
    assert found["recommendation"]["method"] == "soft_prompt"
    assert found["recommendation"]["best"] == "full"
    assert found["recommendation"]["points"] == 2.5
    assert found["recommendation"]["p_value"] > 0.05
    assert found["methods"]["zero_shot"]["p_value"] <= 0.001
    # Right answers alone would hide what the metric shows: a class that is never named.
    rare = a_task("a" * 36 + "bbbb")
    blind, seeing = a_result("a" * 40, 0.9), a_result("a" * 30 + "b" * 10, 0.85)
    blind["test"]["macro_f1"], seeing["test"]["macro_f1"] = 0.474, 0.74
    told = report(rare, {"majority": blind, "soft_prompt": seeing}, {})
    assert told["recommendation"]["method"] == "soft_prompt"
    assert found["errors"] == {"lora": "no memory"}
    results["soft_prompt"] = a_result(poor, 0.5)
    assert report(task, results, {})["recommendation"]["method"] == "full"
    assert report(task, {}, {})["recommendation"] is None
