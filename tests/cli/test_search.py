"""`softprompt search`: flags, JSON, display, resuming, Ctrl-C, mistakes."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny import feedback_rows

from cli.conftest import Shell, write_jsonl
from softprompt.cli import main

pytest.importorskip("optuna")
QUICK = ["--rounds", 2, "--population", 3, "--epochs", 1, "--length", 4, "--baselines", "none"]


@pytest.fixture(scope="module")
def searched(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished search."""
    folder = tmp_path_factory.mktemp("searches")
    file = write_jsonl(folder / "feedback.jsonl", feedback_rows(60))
    words = ["search", file, "--model", tiny_folder, "--output", folder / "run", *QUICK]
    assert main([str(word) for word in words]) == 0
    return folder / "run"


def stored(run: Path, name: str) -> Any:
    return json.loads((run / name).read_text("utf-8"))


def test_json_is_that_of_tune_and_the_trials(shell: Shell, searched: Path, trained: Path) -> None:
    value = shell("search", "--resume", searched, "--json").value
    assert value == stored(searched, "result.json")
    assert set(value) == {*stored(trained, "result.json"), "search"}
    assert [trial["round"] for trial in value["search"]] == [1, 1, 1, 2, 2, 2]
    names = {"number", "learning_rate", "initialisation", "parametrisation", "length", "score"}
    assert all(names <= set(trial) for trial in value["search"])
    assert value["test"]["n"] > 0
    assert shell("tune", "--resume", searched, "--json").value == value


def test_flags_and_files_reach_the_configuration(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("search:\n  rounds: 1\n  share: 0.5\n", encoding="utf-8")
    run = tmp_path / "run"
    quick = [*QUICK[2:6], *QUICK[8:]]
    words = ["--model", tiny_folder, "--output", run, "--config", file, *quick, "--seed", 3]
    ended = shell("search", data, *words, "--readout", "off", "--set", "lengths=[2]", "--json")
    assert ended.code == 0, ended.err
    config = stored(run, "config.json")
    assert config["search"] == {"rounds": 1, "share": 0.5}
    assert (config["training"]["population"], config["training"]["seed"]) == (3, 3)
    assert config["training"]["readout"] == "off"
    assert {trial["length"] for trial in ended.value["search"]} == {2}


def test_people_see_the_best_candidates_and_the_systems(shell: Shell, searched: Path) -> None:
    ended = shell("search", "--resume", searched)
    assert ended.code == 0
    assert "Candidates tried in 2 rounds: 6." in ended.out
    for expected in ("learning rate", "begins with", "parametrisation", "soft prompt", "●"):
        assert expected in ended.out
    assert max(len(x) for x in ended.out.splitlines() if str(searched) not in x) <= 80


def test_rounds_are_announced(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("softprompt.cli.display._QUIET_SECONDS", -1.0)
    ended = shell("search", data, "--model", tiny_folder, "--output", tmp_path / "run", *QUICK)
    assert ended.code == 0, ended.err
    for number in (1, 2):
        assert f"Searching, round {number} of 2: " in ended.err
    assert "Training: " in ended.err


def test_a_search_needs_data_a_folder_and_rounds(shell: Shell, data: Path) -> None:
    told = shell.mistake("search")
    assert "no DATA" in told and "softprompt search DATA" in told
    assert "no --output" in shell.mistake("search", data)
    assert "'--rounds'" in shell.mistake("search", data, "--output", "run", "--rounds", 0)
    told = shell.mistake("search", data, "--output", "run", "--set", "search.shar=1")
    assert "Did you mean 'share'?" in told
    assert "takes no --rounds" in shell.mistake("search", "--resume", "run", "--rounds", 3)
    assert "holds no run" in shell.mistake("search", "--resume", "nothing")
    assert not Path("run").exists()


def test_without_optuna_one_line_says_how_to_get_it(
    shell: Shell, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    told = shell.mistake("search", data, "--output", tmp_path / "run", *QUICK)
    assert "needs the library 'optuna'" in told
    assert "pip install 'softprompt[search]'" in told
    assert not (tmp_path / "run").exists()


def test_an_interrupted_search_keeps_its_prompt_and_says_how_to_go_on(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("softprompt.training.loop.Loop._reason", lambda *_: "interrupted")
        ended = shell("search", data, "--model", tiny_folder, "--output", run, *QUICK)
    assert ended.code == 0, ended.err
    assert "the best prompt so far is kept" in ended.out
    assert f"softprompt search --resume {run}" in ended.out
    assert (run / "prompt" / "prompt.json").is_file()
    assert (stored(run, "result.json")["test"], stored(run, "result.json")["search"]) == (None, [])
    value = shell("search", "--resume", run, "--json").value
    assert value["stopped"] == "finished"
    assert len(value["search"]) == 6


def test_damaged_trials_take_one_line(shell: Shell, searched: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(searched, tmp_path / "run"))
    (run / "result.json").unlink()
    (run / "search.jsonl").write_text("{", "utf-8")
    assert "search.jsonl is damaged" in shell.mistake("search", "--resume", run)
