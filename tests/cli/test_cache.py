"""`softprompt cache` as a user runs it."""

from __future__ import annotations

import os
from pathlib import Path

from tiny import tiny_backbone

from cli.conftest import Shell
from softprompt.inference.context_store import ContextStore


def store() -> None:
    backbone, rows = tiny_backbone(), [(1, 20, 31), (1, 20)]
    root = Path(os.environ["SOFTPROMPT_CACHE"]) / "contexts"
    ContextStore(backbone, root).put(rows, backbone.encode_context(rows))


def test_contexts_are_listed_and_cleared(shell: Shell) -> None:
    assert "There is nothing in" in shell("cache", "list").out
    store()
    listed = shell("cache", "list", "--json").value
    assert [entry["contexts"] for entry in listed["entries"]] == [2]
    assert [entry["precision"] for entry in listed["entries"]] == ["full"]
    assert "contexts" in shell("cache", "list").out
    freed = shell("cache", "clear", "--json").value
    assert freed["freed_bytes"] == listed["entries"][0]["bytes"]
    assert shell("cache", "list", "--json").value["entries"] == []


def test_an_unknown_action_is_one_line(shell: Shell) -> None:
    assert "clear" in shell.mistake("cache", "clean")
