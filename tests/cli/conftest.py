"""A command line to call, a tiny model folder, a data file, and a prompt trained on them once."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tiny import feedback_rows, save_tiny

from softprompt import locale
from softprompt.cli import main


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """The one JSON object on standard output."""
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)

    @property
    def line(self) -> str:
        """The one line on standard error."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


class Shell:
    """Runs command lines within the test's own process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._capsys, self._patch = capsys, patch

    def __call__(self, *words: object, stdin: bytes | None = None) -> Ended:
        if stdin is not None:
            stream = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
            self._patch.setattr(sys, "stdin", stream)
        self._capsys.readouterr()
        code = main([str(word) for word in words])
        return Ended(code, *self._capsys.readouterr())

    def mistake(self, *words: object, stdin: bytes | None = None) -> str:
        """The sentence about a mistake, the same in both forms, without a traceback."""
        plain = self(*words, stdin=stdin)
        assert (plain.code, plain.out) == (2, "")
        assert plain.line.startswith("error: ")
        assert "Traceback" not in plain.err
        as_json = self(*words, "--json", stdin=stdin)
        assert as_json.code == 2
        error = as_json.value["error"]
        assert set(error) == {"message", "hint"}
        told = " ".join(f"{error['message']} {error['hint']}".split())
        assert plain.line == f"error: {told}"
        return told


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    yield Shell(capsys, monkeypatch)
    monkeypatch.setattr(locale, "_chosen", None)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama as a folder, with a window that takes a sentence."""
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "feedback.jsonl", feedback_rows(60))


@pytest.fixture(scope="session")
def trained(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("runs")
    file = write_jsonl(folder / "feedback.jsonl", feedback_rows(60))
    words = ["tune", file, "--model", tiny_folder, "--output", folder / "run", "--epochs", 2]
    # The precision that measures fastest is anybody's guess for a model of this size.
    words += ["--length", 4, "--dtype", "fp32"]
    assert main([str(word) for word in words]) == 0
    return folder / "run"


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    """A prompt of the test's own."""
    return Path(shutil.copytree(trained / "prompt", tmp_path / "prompt"))
