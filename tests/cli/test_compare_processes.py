"""`softprompt compare` and its processes: stopped, killed, asked to end, and gone on with."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Shell
from softprompt.cli import child
from softprompt.training.run_directory import RunDirectory

COMMAND = importlib.import_module("softprompt.cli.commands.compare")
QUICK = ["--epochs", 1, "--length", 4, "--set", "population=1"]


def test_a_method_that_another_process_measures_ends_the_comparison(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = [data, "--model", tiny_folder, "--output", run, "--methods", "majority"]
    assert shell("compare", *words, "--json").code == 0
    folder = run / "methods" / "own_template"
    folder.mkdir()
    with RunDirectory(folder).alone():
        told = shell.mistake("compare", "--resume", run, "--methods", "own_template,zero_shot")
    assert "Another process works in" in told
    # It is at work, and has not failed; nothing was measured beside it.
    assert not (folder / "error.json").exists()
    assert not (folder.parent / "zero_shot").exists()


def test_a_process_that_the_system_ends_is_noted(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(COMMAND, "ended", lambda words: (-9, ""))
    words = [data, "--model", tiny_folder, "--output", tmp_path / "run", "--methods", "full"]
    ended = shell("compare", *words, *QUICK, "--json")
    assert ended.code == 1
    assert ended.value["errors"] == {"full": {"error": "ended by signal 9", "kind": "memory"}}
    assert "ran out of memory" in shell("compare", "--resume", tmp_path / "run").out


def test_another_process_goes_on_with_what_is_left(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, more = iter([-9, -9, 0]), iter([True, True])
    monkeypatch.setattr(COMMAND, "ended", lambda words: (next(codes), ""))
    failed: list[tuple[str, ...]] = []

    def noted(comparison: Any, *told: str, certain: bool) -> bool:
        assert certain
        failed.append(told)
        return next(more)

    monkeypatch.setattr("softprompt.comparison.Comparison.failed", noted)
    words = [data, "--model", tiny_folder, "--output", tmp_path / "run", "--methods", "full"]
    shell("compare", *words, *QUICK, "--json")
    assert failed == [("full", "ended by signal 9", "memory")] * 2
    assert next(codes, None) is None


@pytest.mark.parametrize("at_a_terminal", [True, False])
def test_a_method_that_is_interrupted_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_a_terminal: bool
) -> None:
    """A terminal tells the whole group of Ctrl-C; who sends a signal tells one process."""
    monkeypatch.setattr(child, "_at_a_terminal", lambda: at_a_terminal)
    wait, file = subprocess.Popen.wait, tmp_path / "kept"
    times: list[float | None] = []

    def interrupted(self: Any, timeout: float | None = None) -> int:
        times.append(timeout)
        if len(times) == 1:
            while not (tmp_path / "ready").exists():
                time.sleep(0.01)
            raise KeyboardInterrupt
        return int(wait(self, timeout))

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    slow = (
        "import signal, time\n"
        "told = []\n"
        "signal.signal(signal.SIGINT, lambda *_: told.append('told'))\n"
        f"open({str(tmp_path / 'ready')!r}, 'w').close()\n"
        "time.sleep(1)\n"
        f"open({str(file)!r}, 'w').write(*told or [''])\n"
    )
    with pytest.raises(KeyboardInterrupt):
        child.ended([sys.executable, "-c", slow])
    assert file.read_text("utf-8") == ("" if at_a_terminal else "told")


def test_a_comparison_that_is_asked_to_end_ends_as_on_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, file = signal.getsignal(signal.SIGTERM), tmp_path / "told"
    with pytest.raises(KeyboardInterrupt), child.stoppable():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert signal.getsignal(signal.SIGTERM) is before
    # The process that measures is told as well.
    ready = tmp_path / "ready"
    measuring = (
        "import pathlib, signal, sys, time\n"
        f"signal.signal(signal.SIGINT, lambda *_: (pathlib.Path({str(file)!r}).touch(), "
        "sys.exit(0)))\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "time.sleep(50)\n"
    )
    wait, times = subprocess.Popen.wait, [0]

    def ended(self: Any, timeout: float | None = None) -> int:
        times[0] += 1
        if times[0] > 1:
            return int(wait(self, timeout))
        while not ready.exists():
            time.sleep(0.01)
        raise child.Ended

    monkeypatch.setattr(subprocess.Popen, "wait", ended)
    with pytest.raises(KeyboardInterrupt):
        child.ended([sys.executable, "-c", measuring])
    assert file.exists()


def test_a_signal_that_comes_twice_at_once_is_one() -> None:
    """From the group and from the process that started this one."""
    once = child.Once()
    with pytest.raises(KeyboardInterrupt):
        once(signal.SIGINT, None)
    once(signal.SIGINT, None)
    once._last -= 2
    with pytest.raises(KeyboardInterrupt):
        once(signal.SIGINT, None)


def test_only_the_group_in_front_is_told_by_a_terminal(tmp_path: Path) -> None:
    import pty

    told = tmp_path / "told"
    code = """if True:
        import os, pathlib, sys
        from softprompt.cli.child import _at_a_terminal
        front = _at_a_terminal()
        behind = os.fork()
        if not behind:
            os.setpgid(0, 0)
            pathlib.Path(sys.argv[1]).write_text(f"{front} {_at_a_terminal()}")
            os._exit(0)
        os.waitpid(behind, 0)
    """
    number, _terminal = pty.fork()
    if number == 0:
        os.execv(sys.executable, [sys.executable, "-c", code, str(told)])
    os.waitpid(number, 0)
    assert told.read_text("utf-8") == "True False"


def test_who_stops_a_comparison_is_told_how_to_go_on(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(words: list[str]) -> tuple[int, str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(COMMAND, "ended", stopped)
    run = tmp_path / "my run"
    words = [data, "--model", tiny_folder, "--output", run, "--methods", "majority"]
    ended = shell("compare", *words, *QUICK)
    assert ended.code == 130
    assert f"Go on with `softprompt compare --resume '{run}'`." in ended.err
    assert f"--resume '{run}'" in shell.mistake("compare", *words)


def test_why_a_process_ended_is_kept(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(COMMAND, "ended", lambda words: (2, "No such model."))
    run = tmp_path / "run"
    words = [data, "--model", tiny_folder, "--output", run, "--methods", "majority"]
    assert shell("compare", *words, *QUICK).code == 1
    error = json.loads((run / "methods" / "majority" / "error.json").read_text("utf-8"))
    assert "No such model." in error["error"]


def test_files_that_have_changed_are_refused_before_anything_is_measured(
    shell: Shell, data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    general = tmp_path / "general.txt"
    general.write_text("one passage of text that has eight words", "utf-8")
    words = [data, "--model", tiny_folder, "--output", tmp_path / "run", "--methods", "majority"]
    from softprompt.cli.configuration import run_config
    from softprompt.comparison import CompareConfig, Comparison

    how = CompareConfig(methods=("majority",), general=str(general))
    Comparison.begin(tmp_path / "run", run_config(str(data), {"model": str(tiny_folder)}), how)
    general.write_text("another", "utf-8")
    config = (tmp_path / "run" / "config.json").read_text("utf-8")
    for more in ([], ["--methods", "zero_shot"]):
        assert "general.txt" in shell.mistake("compare", "--resume", tmp_path / "run", *more)
    assert not (tmp_path / "run" / "methods").exists()
    assert (tmp_path / "run" / "config.json").read_text("utf-8") == config
    assert "already in use" in shell.mistake("compare", *words)
