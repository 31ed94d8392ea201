"""`softprompt demo` with a tiny model in place of `nano`: what it shows and leaves behind."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from tiny import save_tiny

from cli.conftest import Shell
from softprompt.cli.commands import demo
from softprompt.tasks.samples import sample_path


@pytest.fixture
def fast(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo's own configuration, with few rows, one epoch and a tiny model."""
    model = save_tiny(tmp_path_factory.mktemp("models") / "demo")
    config = json.loads((model / "config.json").read_text("utf-8"))
    (model / "config.json").write_text(
        json.dumps({**config, "max_position_embeddings": 1024}), "utf-8"
    )
    original = demo._config

    def small(language: str, seed: int) -> Any:
        config = original(language, seed)
        return config.model_copy(
            update={
                "task": config.task.replace(limit=24),
                "backbone": config.backbone.model_copy(
                    update={"model": str(model), "dtype": "fp32"}
                ),
                "prompt": config.prompt.model_copy(update={"length": 2}),
                "training": config.training.model_copy(update={"epochs": 1}),
            }
        )

    monkeypatch.setattr(demo, "_config", small)
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return cache


def test_the_demo_shows_all_that_it_promises(shell: Shell, fast: Path) -> None:
    ended = shell("demo")
    assert ended.code == 0, ended.err
    for expected in (
        "majority guess", "best hand prompt", "soft prompt", "95% interval", "2 vectors",
        "saved in", "unchanged", "A few of its answers", "✓", "Next:",
    ):  # fmt: skip
        assert expected in ended.out
    assert "A frozen language model learns" in ended.err


def test_the_next_commands_work_when_pasted(
    shell: Shell, fast: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shell("demo").out.partition("Next:")[2].strip().splitlines()
    commands = [shlex.split(line) for line in lines]
    assert [words[:2] for words in commands] == [
        ["softprompt", name] for name in ("predict", "check", "tune")
    ]
    monkeypatch.chdir(tmp_path)
    assert shell(*commands[0][1:]).code == 0
    model = json.loads((fast / "softprompt-demo" / "en" / "config.json").read_text("utf-8"))[
        "backbone"
    ]["model"]
    assert shell(*commands[1][1:], "--model", model).code == 0
    quick = ["--model", model, "--epochs", 1, "--limit", 32, "--length", 2]
    assert shell(*commands[2][1:], *quick, "--baselines", "none").code == 0


def test_it_can_be_shown_again_and_in_vietnamese(shell: Shell, fast: Path) -> None:
    first = shell("demo", "--json", "--seed", 1).value
    again = shell("demo", "--json", "--seed", 1).value
    assert again["test"] == first["test"]
    assert set(again["baselines"]) == {"majority", "zero_shot"}
    assert again["model"]["parameters"] > 0
    assert again["language"] == "en"
    right = [e for e in again["examples"] if e["answer"] == e["label"]]
    assert 1 <= len(right) <= 3 and len(again["examples"]) - len(right) <= 2
    shown = shell("demo", "--lang", "vi")
    assert shown.code == 0, shown.err
    assert "đoán lớp đông nhất" in shown.out
    assert "Tiếp theo:" in shown.out
    assert "tích cực" in shown.out or "tiêu cực" in shown.out or "bình thường" in shown.out
    assert (fast / "softprompt-demo" / "vi" / "prompt" / "prompt.json").is_file()
    assert max(map(len, shown.out.partition("Tiếp theo:")[0].splitlines())) <= 80


def test_a_vietnamese_locale_decides(
    shell: Shell, fast: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOFTPROMPT_LANG")
    monkeypatch.setenv("LC_ALL", "vi_VN.UTF-8")
    assert shell("demo", "--json").value["language"] == "vi"


def test_a_given_folder_is_used_and_never_emptied(shell: Shell, fast: Path, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    value = shell("demo", "--output", folder, "--json").value
    assert Path(value["prompt"]) == folder / "prompt"
    assert "already in use" in shell.mistake("demo", "--output", folder)
    assert (folder / "prompt" / "prompt.json").is_file()


def test_a_cache_that_cannot_be_written_gives_way(
    shell: Shell, fast: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert demo._own_folder("en").is_dir()


def test_languages_that_it_does_not_speak(shell: Shell) -> None:
    assert "Allowed: en, vi." in shell.mistake("demo", "--lang", "fr")


def test_its_configuration_is_the_sample_task_within_a_time() -> None:
    config = demo._config("vi", 3)
    assert config.data == str(sample_path("vi"))
    assert config.task.choices == {
        "positive": "tích cực", "neutral": "bình thường", "negative": "tiêu cực",
    }  # fmt: skip
    assert config.training.time_budget == demo.TRAINING_SECONDS
    assert (config.task.seed, config.training.seed) == (3, 3)
    assert config.backbone.model == "nano"
