"""`softprompt prompts` as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.conftest import Shell
from softprompt.prompts import SoftPrompt


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "prompts"


def test_a_prompt_from_its_run_to_its_removal(shell: Shell, trained: Path, folder: Path) -> None:
    added = shell("prompts", "add", folder, trained, "--tag", "language=vi", "--json").value
    assert (added["added"], added["name"], added["version"]) == ("run@1", "run", 1)
    again = shell("prompts", "add", folder, trained / "prompt", "--name", "run", "--alias", "next")
    assert again.out == "run@2 is published.\n"

    listed = shell("prompts", "list", folder, "--json").value["prompts"]
    assert [(card["name"], card["number"]) for card in listed] == [("run", 2)]
    assert (listed[0]["tags"], listed[0]["aliases"]) == ({"language": "vi"}, ["next"])
    assert listed[0]["kind"] == "classification"
    shown = shell("prompts", "list", folder).out
    assert "run@2" in shown and "language=vi" in shown

    assert shell("prompts", "alias", folder, "run@1", "production").out == (
        "run@production means run@1 now.\n"
    )
    assert shell("prompts", "rollback", folder, "run").out == "run@1 is current now.\n"
    versions = shell("prompts", "list", folder, "run", "--json").value["versions"]
    assert [(card["number"], card["current"]) for card in versions] == [(2, False), (1, True)]
    assert "run@1 (current)" in shell("prompts", "list", folder, "run").out
    assert shell("prompts", "rollback", folder, "run@next").out == "run@2 is current now.\n"

    assert "run@production is what" not in shell("prompts", "remove", folder, "run@next").err
    assert "means" in shell.mistake("prompts", "remove", folder, "run@1")
    shell("prompts", "remove", folder, "run@production")
    assert shell("prompts", "remove", folder, "run@1").out == "run@1 is removed.\n"
    assert shell("prompts", "remove", folder, "run", "--json").value["removed"] == "run"
    assert shell("prompts", "list", folder).out == f"There is no prompt in {folder}.\n"


def test_what_is_added_is_served_only_when_told_so(
    shell: Shell, trained: Path, folder: Path
) -> None:
    shell("prompts", "add", folder, trained, "--name", "a")
    shell("prompts", "add", folder, trained, "--name", "a", "--keep-current", "--alias", "new")
    versions = shell("prompts", "list", folder, "a", "--json").value["versions"]
    assert [(card["current"], card["aliases"]) for card in versions] == [
        (False, ["new"]),
        (True, []),
    ]


def test_lists_are_filtered_and_sorted(shell: Shell, trained: Path, folder: Path) -> None:
    for name in ("a", "b"):
        shell("prompts", "add", folder, trained, "--name", name, "--tag", f"team={name}")

    def listed(*words: str) -> list[str]:
        found = shell("prompts", "list", folder, *words, "--json").value["prompts"]
        return [card["name"] for card in found]

    assert listed("--sort", "created") == ["b", "a"]
    assert listed("--sort", "test.accuracy") == ["a", "b"]
    assert listed("--tag", "team=b") == ["b"]
    assert listed("--tag", "team") == ["a", "b"]
    tagged = shell("prompts", "tag", folder, "a", "tried", "team-", "--json").value
    assert tagged == {"folder": str(folder), "name": "a", "tags": {"tried": ""}}
    assert listed("--tag", "team") == ["b"]
    assert shell("prompts", "tag", folder, "a", "x=1").out == "Tags of a: tried, x=1\n"


def test_what_is_not_served_is_told(shell: Shell, copied: Path, folder: Path) -> None:
    shell("prompts", "add", folder, copied, "--name", "good")
    bad = SoftPrompt.load(copied).save(folder / "bad")
    (bad / "prompt.safetensors").write_bytes(b"\0" * 9)
    shown = shell("prompts", "list", folder).out
    assert "bad@1 is not served: bad@1/prompt.safetensors is damaged" in shown
    assert "damaged" in shell.mistake("prompts", "add", folder, bad, "--name", "worse")


def test_mistakes_are_one_line(shell: Shell, trained: Path, folder: Path, tmp_path: Path) -> None:
    assert "rollback" in shell.mistake("prompts", "rolback", folder)
    assert "There is no folder" in shell.mistake("prompts", "list", folder)
    shell("prompts", "add", folder, trained, "--name", "reviews")
    assert "'reviews'" in shell.mistake("prompts", "rollback", folder, "revews")
    assert "comes NAME@VERSION and an alias" in shell.mistake("prompts", "alias", folder, "x")
    assert "a number names a version" in shell.mistake("prompts", "alias", folder, "reviews", "3")
    assert "There is no prompt at" in shell.mistake("prompts", "add", folder, tmp_path / "none")
    assert "is a folder of prompts" in shell.mistake("prompts", "add", folder, folder)
    assert "cannot be the name" in shell.mistake("prompts", "add", folder, trained, "--name", "..")
    told = shell.mistake("prompts", "list", folder, "--index", "mysql://u:secret@h/d")
    assert "cannot be kept in mysql" in told
    assert "secret" not in told


def test_a_version_left_out_takes_no_other_along(shell: Shell, trained: Path, folder: Path) -> None:
    """As in `reviews@$VERSION` where the shell knows no VERSION."""
    for _ in range(2):
        shell("prompts", "add", folder, trained, "--name", "reviews")
    assert "the name alone" in shell.mistake("prompts", "remove", folder, "reviews@")
    assert "the name alone" in shell.mistake("prompts", "rollback", folder, "reviews@")
    versions = shell("prompts", "list", folder, "reviews", "--json").value["versions"]
    assert [(card["number"], card["current"]) for card in versions] == [(2, True), (1, False)]


def test_push_and_pull_without_a_network(shell: Shell, trained: Path, folder: Path) -> None:
    """Nothing is sent or fetched; the Hub's own interface is tested beside the registry."""
    assert "There is no prompt at" in shell.mistake("push", folder, "me/x")
    assert "HF_HUB_OFFLINE" in shell.mistake("push", trained, "me/x")
    assert "HF_HUB_OFFLINE" in shell.mistake("pull", "me/x", folder)
    assert "no name of a repository" in shell.mistake("pull", "a/b/c", folder)
