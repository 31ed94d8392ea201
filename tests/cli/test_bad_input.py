"""Each mistake that people make with files and folders: one line, exit code 2, nothing lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import feedback_rows, save_tiny, tiny_model

from cli.conftest import Shell, write_jsonl
from softprompt.storage import canonical_json, sha256


def csv_text(rows: list[dict[str, str]], delimiter: str = ",") -> str:
    lines = [delimiter.join(row[name] for name in ("text", "label")) for row in rows]
    return "\n".join([delimiter.join(("text", "label")), *lines]) + "\n"


def mixed(path: Path) -> None:
    content = csv_text(feedback_rows(60)).encode()
    path.write_bytes(content + "café tres,bad\n".encode("cp1252"))


FILES: dict[str, tuple[Callable[[Path], Any], list[str], list[str]]] = {
    "missing file": (lambda path: None, [], ["There is no file", "data.csv"]),
    "wrong delimiter": (
        lambda path: path.write_text(csv_text(feedback_rows(60), ";")),
        ["--delimiter", ","],
        ["one column only", "likely ';'"],
    ),
    "absent column": (
        lambda path: path.write_text(csv_text(feedback_rows(60))),
        ["--target", "lable"],
        ["no column 'lable'", "Did you mean 'label'?"],
    ),
    "empty file": (lambda path: path.write_text(""), [], ["data.csv is empty"]),
    "header only": (lambda path: path.write_text("text,label\n"), [], ["holds no rows"]),
    "empty texts": (
        lambda path: path.write_text(csv_text(feedback_rows(60)) + ",good\n"),
        [],
        ["empty input or answer: 61", "--drop-empty"],
    ),
    "mixed encodings": (mixed, [], ["mixes encodings", "line 62"]),
    "label with a single row": (
        lambda path: path.write_text(csv_text(feedback_rows(60)) + "odd one,middling\n"),
        [],
        ["'middling'", "Merge"],
    ),
    "text longer than the window": (
        lambda path: path.write_text(csv_text(feedback_rows(60)) + "long " * 300 + ",good\n"),
        [],
        ["row 61", "the window of the model has 128", "--drop-long"],
    ),
    "unknown suffix": (
        lambda path: None,
        ["--validation", "other.xlsx"],
        ["There is no file"],
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_cannot_be_learned_from(
    shell: Shell, tiny_folder: Path, tmp_path: Path, name: str
) -> None:
    write, flags, expected = FILES[name]
    file, run = tmp_path / "data.csv", tmp_path / "run"
    write(file)
    told = shell.mistake("tune", file, "--model", tiny_folder, "--output", run, *flags)
    for words in expected:
        assert words in told
    assert not run.exists() or not any(run.iterdir())


def test_long_rows_are_left_out_and_counted_when_told_so(
    shell: Shell, tiny_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "data.csv"
    file.write_text(csv_text(feedback_rows(60)) + "long " * 300 + ",good\n")
    words = ["--model", tiny_folder, "--output", tmp_path / "run", "--epochs", 1, "--drop-long"]
    ended = shell("tune", file, *words, "--baselines", "none", "--json")
    assert ended.code == 0, ended.err
    plan = json.loads((tmp_path / "run" / "plan.json").read_text("utf-8"))
    dropped = sum(plan["dropped"].values()) + ended.value["test"].get("dropped", 0)
    assert dropped == 1


def test_an_unknown_label_in_the_test_file(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    test = write_jsonl(tmp_path / "test.jsonl", [{"text": "fine", "label": "god"}])
    words = ["--model", tiny_folder, "--output", tmp_path / "run", "--test", test]
    told = shell.mistake("tune", data, *words)
    assert "row 1 has the unknown label 'god'" in told and "'good'" in told


def test_an_unknown_label_at_evaluation(shell: Shell, trained: Path, tmp_path: Path) -> None:
    test = write_jsonl(tmp_path / "test.jsonl", [{"text": "fine", "label": "god"}])
    assert "unknown label 'god'" in shell.mistake("evaluate", trained, test)


@pytest.fixture(scope="session")
def other_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sizes and tokenizer, other weights."""
    folder = save_tiny(tmp_path_factory.mktemp("models") / "other")
    model = tiny_model("llama")
    model.model.embed_tokens.weight.data.mul_(1.5)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def other_tokenizer(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights, one token spelt otherwise."""
    folder = tmp_path_factory.mktemp("models") / "tokenizer"
    shutil.copytree(tiny_folder, folder)
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text("utf-8"))
    content["post_processor"] = None
    file.write_text(json.dumps(content), "utf-8")
    return folder


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_an_artifact_for_another_backbone(
    shell: Shell, trained: Path, data: Path, other_weights: Path, command: str
) -> None:
    rest = ["late"] if command == "predict" else [data]
    told = shell.mistake(command, trained, *rest, "--model", other_weights)
    assert "(weights " in told and str(other_weights) in told


def test_an_artifact_for_another_tokenizer(
    shell: Shell, trained: Path, other_tokenizer: Path
) -> None:
    told = shell.mistake("predict", trained, "late", "--model", other_tokenizer)
    assert "(tokenizer " in told


def test_an_artifact_for_a_model_of_another_size(
    shell: Shell, trained: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    folder = save_tiny(tmp_path / "wide")
    config = tiny_model("llama").config
    config.hidden_size, config.head_dim = 64, 16
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    told = shell.mistake("predict", trained, "late", "--model", folder)
    assert "have 32 numbers" in told and "takes 64" in told


def truncate(prompt: Path) -> None:
    file = prompt / "prompt.safetensors"
    file.write_bytes(file.read_bytes()[:-7])


def flip(prompt: Path) -> None:
    file = prompt / "prompt.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


def describe(prompt: Path, change: dict[str, Any], *, honest: bool) -> None:
    file = prompt / "prompt.json"
    value = {**json.loads(file.read_text("utf-8")), **change}
    if honest:
        value.pop("digest")
        value["digest"] = sha256(canonical_json(value).encode())
    file.write_text(json.dumps(value, ensure_ascii=False), "utf-8")


ARTIFACTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "truncated vectors": (truncate, "damaged or cut off"),
    "tampered vectors": (flip, "is not the one that prompt.json names"),
    "vectors missing": (lambda p: (p / "prompt.safetensors").unlink(), "is missing"),
    "truncated description": (
        lambda p: (p / "prompt.json").write_text((p / "prompt.json").read_text()[:100]),
        "is not JSON",
    ),
    "tampered description": (
        lambda p: describe(p, {"placement": "prefix"}, honest=False),
        "its digest does not match",
    ),
    "newer format": (
        lambda p: describe(p, {"format": 99}, honest=True),
        "has format 99",
    ),
    "no artifact": (lambda p: (p / "prompt.json").unlink(), "is not a soft prompt"),
}


@pytest.mark.parametrize("name", ARTIFACTS)
def test_artifacts_that_cannot_be_used(shell: Shell, copied: Path, name: str) -> None:
    spoil, expected = ARTIFACTS[name]
    spoil(copied)
    for words in (["predict", copied, "late"], ["show", copied]):
        assert expected in shell.mistake(*words)


def test_a_model_that_has_gone(shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path) -> None:
    model = shutil.copytree(tiny_folder, tmp_path / "model")
    run = tmp_path / "run"
    words = ["--model", model, "--output", run, "--epochs", 1, "--baselines", "none"]
    assert shell("tune", data, *words).code == 0
    shutil.rmtree(model)
    assert str(model) in shell.mistake("predict", run, "late")
    assert shell("predict", run, "late", "--model", tiny_folder).code == 0


def test_an_output_folder_in_use(
    shell: Shell, trained: Path, data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    before = sorted(path.name for path in trained.iterdir())
    told = shell.mistake("tune", data, "--model", tiny_folder, "--output", trained)
    assert "already in use" in told and f"tune --resume {trained}" in told
    assert sorted(path.name for path in trained.iterdir()) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    told = shell.mistake("tune", data, "--model", tiny_folder, "--output", tmp_path / "mine")
    assert "empty this one" in told
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep me"


def test_an_output_folder_below_a_file(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    words = ["--model", tiny_folder, "--output", data / "run"]
    assert "a part of the path is a file" in shell.mistake("tune", data, *words)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_output_folder(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    words = ["--model", tiny_folder, "--output", closed / "run"]
    assert "permission is denied" in shell.mistake("tune", data, *words)


def test_a_refused_output_folder(
    shell: Shell,
    data: Path,
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = Path.mkdir

    def mkdir(path: Path, *values: Any, **names: Any) -> None:
        if path.name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        original(path, *values, **names)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    words = ["--model", tiny_folder, "--output", tmp_path / "closed"]
    assert "permission is denied" in shell.mistake("tune", data, *words)


@pytest.mark.parametrize("room", [0, 1, 2, 4, 6])
def test_a_full_disk_keeps_what_was_written(
    shell: Shell,
    data: Path,
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    room: int,
) -> None:
    """The disk takes `room` files and no more; with space again the run goes on from there."""
    run, left, original = tmp_path / "run", room, os.fsync

    def fsync(handle: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    words = ["--model", tiny_folder, "--output", run, "--epochs", 2, "--length", 4]
    ended = shell("tune", data, *words, "--baselines", "none")
    assert (ended.code, ended.out) == (2, "")
    assert "the disk is full" in ended.err.splitlines()[-1]
    assert "Traceback" not in ended.err
    for file in run.rglob("*.json"):
        json.loads(file.read_text("utf-8"))
    monkeypatch.setattr(os, "fsync", original)
    again = ["tune", "--resume", run] if room else ["tune", data, *words]
    ended = shell(*again, "--json")
    assert ended.code == 0, ended.err
    assert ended.value["stopped"] == "finished"


def test_a_full_disk_keeps_earlier_predictions(
    shell: Shell, trained: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "answered.csv"
    output.write_text("earlier")

    def fsync(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    told = shell.mistake("predict", trained, "--file", data, "--output", output)
    assert "the disk is full" in told
    assert output.read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_long_test_row_is_refused_before_training(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    rows = [*feedback_rows(8), {"text": "long " * 300, "label": "good"}]
    test = write_jsonl(tmp_path / "test.jsonl", rows)
    words = ["--model", tiny_folder, "--output", tmp_path / "run", "--test", test]
    assert "test.jsonl: row 9 takes" in shell.mistake("tune", data, *words)
    assert not (tmp_path / "run").exists()
