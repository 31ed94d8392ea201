"""`softprompt tune`: flags, JSON, display, resuming."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny import feedback_rows

from cli.conftest import Shell, write_jsonl

METRIC = {"n", "accuracy", "macro_f1", "interval"}


def is_metric(value: dict[str, Any]) -> bool:
    low, high = value["interval"]
    return set(value) >= METRIC and 0 <= low <= value["accuracy"] <= high <= 1


def test_json_has_the_promised_shape(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = ["--model", tiny_folder, "--output", run, "--epochs", 1, "--seed", 3, "--length", 4]
    ended = shell("tune", data, *words, "--json")
    assert ended.code == 0, ended.err
    value = ended.value
    assert Path(value["prompt"]) == run / "prompt"
    assert (run / "prompt" / "prompt.safetensors").is_file()
    assert is_metric(value["validation"]) and is_metric(value["test"])
    assert set(value["baselines"]) == {"majority", "zero_shot"}
    assert all(map(is_metric, value["baselines"].values()))
    assert value["baselines"]["majority"]["n"] == value["test"]["n"]
    assert value["trainable_parameters"] >= 4 * 32
    assert value["artifact_bytes"] > 4 * 32 * 4
    assert set(value["seconds"]) >= {"context", "training", "evaluation", "total"}
    assert value["peak_memory_bytes"] > 0


def test_flags_reach_the_configuration(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("training:\n  batch_size: 8\n  epochs: 7\n", encoding="utf-8")
    words = [
        "--template", "{text}\\nÝ kiến: {answer}",
        "--choices", "good=tích cực,bad=tiêu cực",
        "--placement", "prefix", "--length", 3, "--initialisation", "vocabulary",
        "--epochs", 1, "--limit", 20, "--seed", 5, "--slice", "part",
        "--baselines", "none", "--config", file, "--set", "training.warmup=0.5",
        "--set", "clip=2", "--dtype", "fp32", "--device", "cpu", "--chat", "off",
        "--time-budget", 100, "--drop-long", "--drop-empty",
    ]  # fmt: skip
    run = tmp_path / "run"
    ended = shell("tune", data, "--model", tiny_folder, "--output", run, *words, "--json")
    assert ended.code == 0, ended.err
    config = json.loads((run / "config.json").read_text("utf-8"))
    task, training = config["task"], config["training"]
    assert task["choices"] == {"good": "tích cực", "bad": "tiêu cực"}
    assert task["template"] == "{text}\nÝ kiến: {answer}"
    assert (task["limit"], task["seed"], task["slice"], task["chat"]) == (20, 5, "part", "off")
    assert task["drop_empty"] and training["drop_long"]
    assert (training["epochs"], training["batch_size"], training["seed"]) == (1, 8, 5)
    assert (training["warmup"], training["clip"], training["time_budget"]) == (0.5, 2, 100)
    assert training["baselines"] == []
    assert config["prompt"]["placement"] == "prefix"
    assert (config["prompt"]["length"], config["prompt"]["initialisation"]) == (3, "vocabulary")
    assert (config["backbone"]["dtype"], config["backbone"]["device"]) == ("fp32", "cpu")
    assert ended.value["baselines"] == {}
    assert set(ended.value["test"]["slices"]) <= {"a", "b"}
    shown = shell("show", run, "--json").value
    assert shown["task"]["choices"][0] == {"label": "good", "wording": "tích cực"}


def test_files_that_a_configuration_names_are_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from softprompt.cli.configuration import run_config

    monkeypatch.chdir(tmp_path)
    for name in ("rows.csv", "dev.csv", "start", "nano"):
        (tmp_path / name).write_text("")
    settings = "task:\n  validation: dev.csv\nprompt:\n  start: start\n"
    (tmp_path / "settings.yaml").write_text(settings, encoding="utf-8")
    config = run_config("rows.csv", {"config": "settings.yaml"})
    assert config.data == str(tmp_path / "rows.csv")
    assert config.task.validation == str(tmp_path / "dev.csv")
    assert config.prompt.start == str(tmp_path / "start")
    # What nobody named is no file of this folder.
    assert config.backbone.model == "nano"


def test_validation_and_test_files_and_delimiters(
    shell: Shell, tiny_folder: Path, tmp_path: Path
) -> None:
    def csv(name: str, first: int, count: int) -> Path:
        rows = feedback_rows(first + count)[first:]
        lines = ["content;verdict", *(f"{row['text']};{row['label']}" for row in rows)]
        (tmp_path / name).write_text("\r\n".join(lines), encoding="utf-16")
        return tmp_path / name

    words = [
        "--validation", csv("v.csv", 20, 6), "--test", csv("t.csv", 30, 8),
        "--input", "content", "--target", "verdict", "--delimiter", ";",
        "--encoding", "utf-16", "--epochs", 1, "--output", tmp_path / "run",
        "--baselines", "majority,few_shot", "--set", "shots=1",
    ]  # fmt: skip
    ended = shell("tune", csv("d.csv", 0, 20), "--model", tiny_folder, *words, "--json")
    assert ended.code == 0, ended.err
    assert ended.value["validation"]["n"] == 6
    assert ended.value["test"]["n"] == 8
    assert set(ended.value["baselines"]) == {"majority", "few_shot"}


def test_people_see_systems_side_by_side(shell: Shell, trained: Path) -> None:
    ended = shell("tune", "--resume", trained)
    assert ended.code == 0
    for expected in ("majority guess", "best hand prompt", "soft prompt", "95% interval", "●"):
        assert expected in ended.out
    assert str(trained / "prompt") in ended.out
    lines = [line for line in ended.out.splitlines() if "softprompt predict" not in line]
    assert max(len(line) for line in lines if str(trained) not in line) <= 80


def test_people_are_told_that_rare_labels_are_given_more_readily(
    shell: Shell, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    file = tmp_path / "run" / "result.json"
    result = json.loads(file.read_text("utf-8"))
    without = {**result["validation"], "macro_f1": 0.125}
    result["adjustment"] = {"added": {}, "validation_without": without, "test_without": without}
    file.write_text(json.dumps(result), "utf-8")
    ended = shell("tune", "--resume", tmp_path / "run")
    assert ended.code == 0, ended.err
    assert "Rare labels are given more readily" in ended.out
    assert "instead of 12.5%" in ended.out
    assert "Packed contexts" not in ended.out


def test_people_are_told_what_packing_contexts_changes(
    shell: Shell, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    file = tmp_path / "run" / "result.json"
    result = {**json.loads(file.read_text("utf-8")), "cache_loss_change": 0.00125}
    file.write_text(json.dumps(result), "utf-8")
    told = shell("tune", "--resume", tmp_path / "run").out
    assert "Packed contexts change the loss by 0.125%" in told


def test_resume_takes_no_other_flag(shell: Shell, trained: Path, data: Path) -> None:
    told = shell.mistake("tune", "--resume", trained, "--epochs", 3)
    assert "takes no --epochs" in told
    assert "takes no DATA" in shell.mistake("tune", data, "--resume", trained)
    assert "takes no --drop-long" in shell.mistake("tune", "--resume", trained, "--drop-long")


def test_resume_gives_the_finished_result(shell: Shell, trained: Path) -> None:
    stored = json.loads((trained / "result.json").read_text("utf-8"))
    assert shell("tune", "--resume", trained, "--json").value == stored


def test_resume_needs_a_run(shell: Shell, tmp_path: Path) -> None:
    assert "holds no run" in shell.mistake("tune", "--resume", tmp_path / "nothing")
    (tmp_path / "config.json").write_text('{"run": {}, "comparison": {}}', "utf-8")
    told = shell.mistake("tune", "--resume", tmp_path)
    assert f"Go on with `softprompt compare --resume {tmp_path}`" in told


def test_resume_refuses_changed_data(
    shell: Shell, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "result.json").unlink()
    config = json.loads((run / "config.json").read_text("utf-8"))
    other = write_jsonl(tmp_path / "feedback.jsonl", feedback_rows(64))
    (run / "config.json").write_text(json.dumps({**config, "data": str(other)}), "utf-8")
    assert "The data have changed" in shell.mistake("tune", "--resume", run)


def test_a_run_needs_data_and_a_folder(shell: Shell, data: Path) -> None:
    assert "no DATA" in shell.mistake("tune")
    assert "no --output" in shell.mistake("tune", data)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--set", "epoch=3"], "Did you mean 'epochs'?"),
        (["--set", "training.lerning_rate=3"], "Did you mean 'learning_rate'?"),
        (["--set", "epochs"], "no assignment"),
        (["--length", "0"], "prompt.length cannot be 0"),
        (["--placement", "sufix"], "Did you mean 'suffix'?"),
        (["--initialisation", "labls"], "Did you mean 'labels'?"),
        (["--baselines", "majorty"], "Did you mean 'majority'?"),
        (["--chat", "perhaps"], "task.chat cannot be 'perhaps'"),
        (["--dtype", "fp64"], "backbone.dtype cannot be 'fp64'"),
        (["--choices", "good"], "has no wording"),
        (["--choices", "goood=yes"], "Did you mean 'good'?"),
        (["--config", "absent.yaml"], "cannot be read"),
        (["--device", "abacus"], "'abacus' cannot be used"),
        (["--template", "{text} {answer} or so"], "{answer}"),
    ],
)
def test_settings_that_cannot_be(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path, words: list[str], expected: str
) -> None:
    run = tmp_path / "run"
    told = shell.mistake("tune", data, "--model", tiny_folder, "--output", run, *words)
    assert expected in told
    assert not run.exists()


def test_an_unknown_key_in_yaml_names_the_nearest(shell: Shell, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("training:\n  epoch: 3\n", encoding="utf-8")
    told = shell.mistake("tune", data, "--output", tmp_path / "run", "--config", file)
    assert "training.epoch" in told and "'epochs'" in told
    file.write_text("trainning:\n  epochs: 3\n", encoding="utf-8")
    told = shell.mistake("tune", data, "--output", tmp_path / "run", "--config", file)
    assert "'training'" in told


def test_an_interrupted_run_keeps_its_prompt_and_says_how_to_go_on(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("softprompt.training.loop.Loop._reason", lambda *_: "interrupted")
    run = tmp_path / "run"
    ended = shell("tune", data, "--model", tiny_folder, "--output", run, "--length", 4)
    assert ended.code == 0, ended.err
    assert "the best prompt so far is kept" in ended.out
    assert f"softprompt tune --resume {run}" in ended.out
    assert (run / "prompt" / "prompt.json").is_file()
    stored = json.loads((run / "result.json").read_text("utf-8"))
    assert stored["test"] is None


def test_a_reporter_does_not_stand_in_the_way(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    words = ["--model", tiny_folder, "--epochs", 1, "--baselines", "none"]
    setting = ["--set", "reporters=[tensorboard]"]
    ended = shell("tune", data, "--output", tmp_path / "run", *words, *setting)
    assert ended.code == 0, ended.err
    assert any((tmp_path / "run" / "tensorboard").iterdir())
