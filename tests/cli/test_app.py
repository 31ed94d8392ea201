"""The command line as a whole: help, language, streams, exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

import softprompt
from cli.conftest import Shell
from softprompt.cli import commands
from softprompt.cli.commands import COMMANDS
from softprompt.comparison import METHODS
from softprompt.inference.baselines import BASELINES
from softprompt.prompts.initialisers import INITIALISERS
from softprompt.registry import Registry

SOURCE = Path(softprompt.__file__).parents[1]


def process(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "SOFTPROMPT_LANG": "en"}
    return subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, check=False
    )


def test_the_commands_are_those_of_the_guide() -> None:
    assert COMMANDS.names() == [
        "advise", "ask", "cache", "check", "compare", "demo", "evaluate", "export", "keys",
        "models", "predict", "prompts", "pull", "push", "search", "serve", "show", "tune",
    ]  # fmt: skip


def test_each_command_is_a_file_of_its_own() -> None:
    files = {path.stem for path in Path(commands.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == set(COMMANDS.names())
    for name in COMMANDS:
        assert COMMANDS.get(name).run.__module__ == f"softprompt.cli.commands.{name}"


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys; from softprompt.cli import main; main(['--help']);"
        "heavy = {'torch', 'transformers', 'sklearn', 'numpy', 'pydantic'} & set(sys.modules);"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    ended = process("-c", code)
    assert ended.returncode == 0, ended.stderr
    assert "tune" in ended.stdout


def test_the_module_runs_as_the_command_does() -> None:
    ended = process("-m", "softprompt", "--version")
    assert (ended.returncode, ended.stdout) == (0, f"softprompt {softprompt.__version__}\n")


@pytest.mark.parametrize("name", COMMANDS.names())
def test_help_shows_every_example(shell: Shell, name: str) -> None:
    ended = shell(name, "--help")
    assert ended.code == 0
    page = " ".join(ended.out.split())
    assert COMMANDS.get(name).examples
    for example in COMMANDS.get(name).examples:
        assert example.startswith(f"softprompt {name}") or f"| softprompt {name}" in example
        assert " ".join(example.split()) in page


@pytest.mark.parametrize("name", COMMANDS.names())
def test_help_fits_eighty_columns(shell: Shell, name: str) -> None:
    assert max(map(len, shell(name, "--help").out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("command", "choices"),
    [("compare", METHODS), ("tune", INITIALISERS), ("tune", BASELINES)],
    ids=["methods", "initialisations", "baselines"],
)
def test_help_names_every_choice(shell: Shell, command: str, choices: Registry[object]) -> None:
    words = set(re.findall(r"\w+", shell(command, "--help").out))
    assert set(choices.names()) <= words


@pytest.mark.parametrize("name", COMMANDS.names())
def test_every_command_has_json(shell: Shell, name: str) -> None:
    assert "--json" in shell(name, "--help").out


def test_no_words_show_the_help(shell: Shell) -> None:
    ended = shell()
    assert ended.code == 0
    assert "Commands" in ended.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tune", "x.csv", "--frobnicate"], "No such option: --frobnicate"),
        (["tnue"], "'tnue'"),
        (["evaluate", "p"], "Missing argument 'DATA'"),
        (["export", "p"], "Missing option '--output'"),
        (["tune", "x.csv", "--epochs", "many"], "'--epochs'"),
        (["show", "p", "q"], "q"),
        (["--frobnicate"], "No such option"),
    ],
)
def test_mistakes_in_usage_take_one_line(shell: Shell, words: list[str], expected: str) -> None:
    told = shell.mistake(*words)
    assert expected in told
    assert "--help" in told


def test_after_two_dashes_json_is_a_text(shell: Shell, trained: Path) -> None:
    ended = shell("predict", trained, "--", "--json")
    assert ended.code == 0
    assert len(ended.out.splitlines()) == 1
    assert "\t" in ended.out


def test_ctrl_c_takes_one_line(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("softprompt.cli.prompt_use.load_prompt", interrupted)
    plain = shell("show", "anything")
    assert (plain.code, plain.out) == (130, "")
    assert plain.line.startswith("error: Interrupted.")
    as_json = shell("show", "anything", "--json")
    assert as_json.code == 130
    assert as_json.value["error"]["message"] == "Interrupted."


def test_a_defect_keeps_its_traceback(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("softprompt.cli.prompt_use.load_prompt", broken)
    with pytest.raises(RuntimeError, match="a defect"):
        shell("show", "anything")


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")]
)
def test_too_little_memory_takes_one_line(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("softprompt.cli.prompt_use.load_prompt", full)
    assert shell.mistake("show", "anything").startswith("There is not enough memory.")


def test_libraries_cannot_spoil_the_json(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def chatty(text: str) -> AbstractContextManager[None]:
        print("a library speaks")
        return nullcontext()

    monkeypatch.setattr("softprompt.cli.commands.models.waiting", chatty)
    ended = shell("models", "--json")
    assert ended.value["models"]
    assert "a library speaks" in ended.err


def test_a_reader_that_leaves_is_no_error() -> None:
    command = f"{sys.executable} -m softprompt models --json | head -c 1"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "SOFTPROMPT_LANG": "en"}
    ended = subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.stdout == "{"
    assert ended.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_standard_output_takes_one_line() -> None:
    command = f"{sys.executable} -m softprompt models --json > /dev/full"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "SOFTPROMPT_LANG": "en"}
    ended = subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "no space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_help_and_errors_follow_the_locale(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTPROMPT_LANG", "vi")
    page = shell("predict", "--help").out
    assert "Trả lời cho văn bản" in page
    assert "Hiện trợ giúp này rồi thoát." in page
    assert shell("tune").line.startswith("lỗi: Chưa có DATA")
    monkeypatch.setenv("SOFTPROMPT_LANG", "en")
    assert "Answer texts" in shell("predict", "--help").out


def test_no_colour_without_a_terminal(shell: Shell) -> None:
    assert "\x1b" not in shell("models").out


def test_models_lists_the_catalogue(shell: Shell) -> None:
    listed = shell("models", "--json").value["models"]
    assert listed[0]["name"] == "nano"
    assert {"name", "parameters", "megabytes", "licence", "vietnamese"} <= set(listed[0])
    shown = shell("models").out
    for entry in listed:
        assert entry["name"] in shown
    assert max(len(line) for line in shown.splitlines() if ":" not in line) <= 80
    assert json.dumps(listed)
