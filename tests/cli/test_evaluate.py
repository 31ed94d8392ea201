"""`softprompt evaluate`, `show` and `export`: metrics, the card, other formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import feedback_rows, save_tiny
from transformers import AutoModelForCausalLM

from cli.conftest import Shell, write_jsonl
from softprompt import SoftPrompt


def test_json_is_a_metric(shell: Shell, trained: Path, data: Path) -> None:
    metric = shell("evaluate", trained / "prompt", data, "--slice", "part", "--json").value
    assert metric["n"] == 60
    low, high = metric["interval"]
    assert 0 <= low <= metric["accuracy"] <= high <= 1
    assert 0 <= metric["macro_f1"] <= 1
    assert {name: part["n"] for name, part in metric["slices"].items()} == {"a": 30, "b": 30}
    assert metric["confusion"]["labels"] == ["bad", "good"]


def test_the_test_score_comes_out_again(shell: Shell, trained: Path, tmp_path: Path) -> None:
    """Oracle: evaluating the run's own test rows gives the run's own figure."""
    from softprompt.tasks import Task

    stored = json.loads((trained / "result.json").read_text("utf-8"))["test"]
    task = Task.from_file(trained.parent / "feedback.jsonl")
    file = write_jsonl(tmp_path / "test.jsonl", [dict(row.columns) for row in task.test])
    metric = shell("evaluate", trained / "prompt", file, "--json").value
    for name in ("n", "accuracy", "macro_f1", "interval"):
        assert metric[name] == pytest.approx(stored[name])


def test_people_see_classes_confusion_and_slices(shell: Shell, trained: Path, data: Path) -> None:
    shown = shell("evaluate", trained, data, "--slice", "part").out
    for expected in ("60 rows", "95% interval", "precision", "right \\ answered", "slice"):
        assert expected in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_other_words_around_the_prompt_can_be_evaluated(
    shell: Shell, trained: Path, data: Path
) -> None:
    own = shell("evaluate", trained, data, "--json").value
    other = shell(
        "evaluate", trained, data, "--template", "{text} ->{answer}", "--choices", "bad=late",
        "--json",
    ).value  # fmt: skip
    assert other["n"] == own["n"]
    assert other["ece"] != own["ece"]


def test_the_answers_may_stand_in_another_column(
    shell: Shell, trained: Path, data: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in data.read_text("utf-8").splitlines()]
    renamed = [{"verdict": row.pop("label"), **row} for row in rows]
    file = write_jsonl(tmp_path / "renamed.jsonl", renamed)
    assert "no column 'label'" in shell.mistake("evaluate", trained, file)
    own = shell("evaluate", trained, data, "--json").value
    assert shell("evaluate", trained, file, "--target", "verdict", "--json").value == own
    assert "no column 'verdikt'" in shell.mistake("evaluate", trained, file, "--target", "verdikt")


def test_empty_rows_are_refused_or_left_out_and_counted(
    shell: Shell, trained: Path, tmp_path: Path
) -> None:
    rows = feedback_rows(10)
    rows[2]["text"] = "  "
    rows[7]["label"] = ""
    file = write_jsonl(tmp_path / "rows.jsonl", rows)
    told = shell.mistake("evaluate", trained, file)
    assert "rows 3, 8 (2 in all)" in told and "--drop-empty" in told
    ended = shell("evaluate", trained, file, "--drop-empty", "--json")
    assert ended.value["n"] == 8
    assert "left out for an empty input or answer: 2" in ended.err


def test_columns_that_are_absent(shell: Shell, trained: Path, tmp_path: Path) -> None:
    rows = [{"text": row["text"], "lable": row["label"]} for row in feedback_rows(6)]
    file = write_jsonl(tmp_path / "rows.jsonl", rows)
    told = shell.mistake("evaluate", trained, file)
    assert "no column 'label'" in told and "Did you mean 'lable'?" in told
    good = write_jsonl(tmp_path / "good.jsonl", feedback_rows(6))
    told = shell.mistake("evaluate", trained, good, "--slice", "parts")
    assert "no column 'parts'" in told and "Did you mean 'part'?" in told


def test_show_prints_the_card(shell: Shell, trained: Path) -> None:
    shown = shell("show", trained / "prompt")
    card = (trained / "prompt" / "README.md").read_text("utf-8")
    assert sorted(shown.out.splitlines()) == sorted(card.splitlines())
    value = shell("show", trained / "prompt", "--json").value
    assert value["placement"] == "suffix"
    prompt = SoftPrompt.load(trained / "prompt")
    read = 0 if prompt.readout is None else prompt.readout.weight_CF.numel() + 2
    assert (value["length"], value["parameters"]) == (4, len(prompt.members) * 4 * 32 + read)
    assert value["readout"] is (prompt.readout is not None)
    assert value["task"]["target"] == "label"
    assert value["metrics"]["test"]["n"] > 0


def test_export_to_peft(shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path) -> None:
    run, folder = tmp_path / "run", tmp_path / "peft"
    words = ["--model", tiny_folder, "--output", run, "--placement", "prefix", "--epochs", 1]
    assert shell("tune", data, *words, "--baselines", "none", "--ensemble", "off").code == 0
    value = shell("export", run, "--to", "peft", "--output", folder, "--json").value
    assert value["output"] == str(folder)
    assert "BOS" in value["note"]
    assert "whole_choices" in value["note"]
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    assert config["num_virtual_tokens"] == 8 + 1
    own = shell("evaluate", run, data, "--json").value
    back = shell("evaluate", folder, data, "--json").value
    assert back["accuracy"] == own["accuracy"]
    assert "already in use" in shell.mistake("export", run, "--output", folder)
    assert (folder / "adapter_config.json").is_file()


def test_export_to_vllm_leaves_the_readout_out(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    run, folder = tmp_path / "run", tmp_path / "vllm"
    words = ["--model", tiny_folder, "--output", run, "--epochs", 1, "--baselines", "none"]
    assert shell("tune", data, *words, "--readout", "on").code == 0
    value = shell("export", run, "--to", "vllm", "--output", folder, "--json").value
    assert "readout is left out" in value["note"]
    before, after = SoftPrompt.load(run / "prompt"), SoftPrompt.load(folder)
    assert before.readout is not None
    assert after.readout is None
    assert after.metrics == {}
    assert after.task.adjustment == before.task.adjustment_alone
    texts = ["great coffee", "the late parcel"]
    asked = [shell("predict", one, *texts, "--json").value for one in (run, folder)]
    assert asked[0] != asked[1]
    assert shell("export", folder, "--to", "vllm", "--output", tmp_path / "again").code == 0


def test_export_to_vllm_refuses_other_depths(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = ["--model", tiny_folder, "--output", run, "--epochs", 1, "--baselines", "none"]
    assert shell("tune", data, *words, "--depth", "deep").code == 0
    told = shell.mistake("export", run, "--to", "vllm", "--output", tmp_path / "vllm")
    assert "depth deep" in told
    assert not (tmp_path / "vllm").exists()


def test_export_refuses_what_peft_cannot_hold(shell: Shell, trained: Path, tmp_path: Path) -> None:
    told = shell.mistake("export", trained, "--output", tmp_path / "peft")
    assert "'suffix'" in told
    assert not (tmp_path / "peft").exists()
    told = shell.mistake("export", trained, "--to", "pfet", "--output", tmp_path / "peft")
    assert "Did you mean 'peft'?" in told


@pytest.mark.parametrize("kind", ["encoder-decoder", "lora"])
def test_export_to_vllm_refuses_models_that_it_cannot_serve(
    shell: Shell, data: Path, tmp_path: Path, kind: str
) -> None:
    model, run = tmp_path / "model", tmp_path / "run"
    save_tiny(model, "t5" if kind == "encoder-decoder" else "llama")
    if kind == "lora":
        peft = pytest.importorskip("peft")
        base = AutoModelForCausalLM.from_pretrained(model)
        model = tmp_path / "adapter"
        peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM")).save_pretrained(model)
    words = ["--model", model, "--output", run, "--epochs", 1, "--baselines", "none"]
    assert shell("tune", data, *words).code == 0
    told = shell.mistake("export", run, "--to", "vllm", "--output", tmp_path / "vllm")
    assert ("no decoder" if kind == "encoder-decoder" else "a model with LoRA") in told
    assert not (tmp_path / "vllm").exists()
