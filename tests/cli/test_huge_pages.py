"""The command starts itself again with huge pages, once, and only where that can help."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from softprompt.cli import huge_pages


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """What is started, on a system that gives huge pages on request."""
    (tmp_path / "enabled").write_text("always [madvise] never\n")
    monkeypatch.setattr(huge_pages, "_OFFERED", tmp_path / "enabled")
    monkeypatch.setattr(huge_pages, "_glibc", lambda: True)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "softprompt", "models"])
    # Set and deleted, so that what the code sets is taken back after the test.
    monkeypatch.setenv("GLIBC_TUNABLES", "")
    monkeypatch.delenv("GLIBC_TUNABLES")
    calls: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: calls.append(arguments))
    return calls


def test_the_same_command_is_started_once(started: list[list[str]]) -> None:
    huge_pages.restart_with_huge_pages()
    huge_pages.restart_with_huge_pages()
    assert started == [[sys.executable, "-m", "softprompt", "models"]]
    assert os.environ["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"


def test_a_setting_of_the_users_own_stays(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=0")
    huge_pages.restart_with_huge_pages()
    assert not started


@pytest.mark.parametrize("offered", ["[always] madvise never", "always madvise [never]", None])
def test_nothing_is_started_where_it_cannot_help(
    started: list[list[str]], offered: str | None
) -> None:
    if offered is None:
        huge_pages._OFFERED.unlink()
    else:
        huge_pages._OFFERED.write_text(offered)
    huge_pages.restart_with_huge_pages()
    assert not started


def test_the_command_works_after_it_started_itself_again() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    ended = subprocess.run(
        [sys.executable, "-m", "softprompt", "--version"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.startswith("softprompt ")
