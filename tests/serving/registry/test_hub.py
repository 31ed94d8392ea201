"""To and from the Hub's HTTP interface on loopback, through the real client."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serving.registry.hub_stand_in import TOKEN, Hub, hub
from tiny import tiny_backbone

from softprompt.errors import ArtifactError, UsageError
from softprompt.prompts import SoftPrompt
from softprompt.serving.registry import Registry
from softprompt.serving.registry.hub import artifacts_at, pull, push

Make = Callable[..., SoftPrompt]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The stand-in, with its owner logged in."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    # The stand-in takes large files as Git LFS does; the other way has a protocol of its own.
    monkeypatch.setattr("huggingface_hub._commit_api.is_xet_available", lambda: False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with hub() as found:
        yield found


def test_pushed_and_pulled_is_the_same(
    server: Hub, registry: Registry, make: Make, tmp_path: Path
) -> None:
    made = make(3).save(tmp_path / "made")
    (made / "secret.txt").write_text("stays here")
    (made / "model.bin").write_bytes(b"pickled")
    done = push(artifacts_at(made), "tester/reviews", endpoint=server.url)
    assert done.url.endswith(f"tester/reviews/commit/{done.commit}")
    assert set(server.files("tester/reviews")) == {
        "README.md",
        "prompt.json",
        "prompt.safetensors",
    }
    assert server.repositories["tester/reviews"].private
    assert any(asked.endswith("objects/batch") for asked in server.asked)
    [(version, new)] = pull("tester/reviews", registry, endpoint=server.url)
    assert (version.label, new) == ("reviews@1", True)
    published = registry.path(version)
    for file in ("README.md", "prompt.json", "prompt.safetensors"):
        assert (published / file).read_bytes() == (made / file).read_bytes()
    assert registry.list()[0].tags == {"hub": f"tester/reviews@{done.commit[:12]}"}
    assert pull("tester/reviews", registry, endpoint=server.url) == [(version, False)]


def test_revisions(server: Hub, registry: Registry, make: Make, tmp_path: Path) -> None:
    first = push({"": make(1).save(tmp_path / "a")}, "tester/x", endpoint=server.url)
    push({"": make(2).save(tmp_path / "b")}, "tester/x", revision="next", endpoint=server.url)
    for name, revision, seed in (("one", None, 1), ("two", "next", 2), ("three", first.commit, 1)):
        pull("tester/x", registry, name=name, revision=revision, endpoint=server.url)
        assert int(registry.load(registry.resolve(name)).vectors[0, 0]) == seed
    with pytest.raises(UsageError, match="it has no such revision"):
        pull("tester/x", registry, revision="none", endpoint=server.url)


def test_a_whole_folder_goes_and_comes(
    server: Hub, registry: Registry, make: Make, tmp_path: Path
) -> None:
    registry.publish("reviews", make(1))
    registry.publish("reviews", make(2), aliases=["production"])
    registry.publish("news", make(3))
    push(artifacts_at(registry.folder), "tester/all", private=False, endpoint=server.url)
    assert not server.repositories["tester/all"].private
    other = Registry(tmp_path / "other", check_every=0)
    pull("tester/all", other, endpoint=server.url)
    for name in ("reviews", "news"):
        assert other.resolve(name).key == registry.resolve(name).key


def test_what_a_path_means(registry: Registry, make: Make, tmp_path: Path) -> None:
    for seed in (1, 2):
        registry.publish("reviews", make(seed))
    registry.alias("reviews@1", "production")
    folder = registry.folder
    assert artifacts_at(folder / "reviews") == {"": folder / "reviews" / "2"}
    assert artifacts_at(folder / "reviews@production") == {"": folder / "reviews" / "1"}
    assert artifacts_at(folder) == {"reviews": folder / "reviews" / "2"}
    run = make(3).save(tmp_path / "run" / "prompt")
    assert artifacts_at(run) == artifacts_at(run.parent) == {"": run}
    with pytest.raises(UsageError, match="There is no prompt at"):
        artifacts_at(tmp_path / "nothing")


def test_nothing_damaged_is_sent_or_published(
    server: Hub, registry: Registry, make: Make, tmp_path: Path
) -> None:
    made = make(1).save(tmp_path / "made")
    push({"": made, "good": made}, "tester/x", endpoint=server.url)
    (made / "prompt.safetensors").write_bytes(b"\0" * 99)
    asked = len(server.asked)
    with pytest.raises(ArtifactError, match=f"{made}/prompt.safetensors is damaged"):
        push({"": made}, "tester/y", endpoint=server.url)
    assert len(server.asked) == asked
    server.files("tester/x")["prompt.safetensors"] = b"\0" * 99
    with pytest.raises(ArtifactError, match=r"^tester/x: x/prompt\.safetensors is damaged"):
        pull("tester/x", registry, endpoint=server.url)
    assert registry.names() == []


def test_nothing_is_published_unless_all_fits(
    server: Hub, make: Make, foreign: SoftPrompt, tmp_path: Path
) -> None:
    fits, odd = make(1).save(tmp_path / "fits"), foreign.save(tmp_path / "odd")
    push({"a": fits, "b": odd}, "tester/x", endpoint=server.url)
    registry = Registry(tmp_path / "prompts", backbone=tiny_backbone())
    with pytest.raises(ArtifactError, match="belongs to other"):
        pull("tester/x", registry, endpoint=server.url)
    assert registry.names() == []


def test_of_two_prompts_with_one_name_none_is_lost(
    server: Hub, registry: Registry, make: Make, tmp_path: Path
) -> None:
    one, two = make(1).save(tmp_path / "one"), make(2).save(tmp_path / "two")
    push({"": one, "x": two}, "tester/x", endpoint=server.url)
    with pytest.raises(UsageError, match="two prompts that would be called 'x'"):
        pull("tester/x", registry, endpoint=server.url)
    pull("tester/x", registry, name="y", endpoint=server.url)
    assert registry.names() == ["x", "y"]


def test_names_come_in_one_form(
    server: Hub, registry: Registry, make: Make, tmp_path: Path
) -> None:
    made = make(1).save(tmp_path / "made")
    push({"ca\u0309m": made}, "tester/x", endpoint=server.url)  # as some systems write it
    pull("tester/x", registry, endpoint=server.url)
    assert registry.names() == ["c\u1ea3m"]


def test_no_other_file_is_sent_as_the_card(server: Hub, make: Make, tmp_path: Path) -> None:
    made = make(1).save(tmp_path / "made")
    (tmp_path / "secret").write_text("of this machine")
    (made / "README.md").unlink()
    (made / "README.md").symlink_to(tmp_path / "secret")
    push({"": made}, "tester/x", endpoint=server.url)
    assert set(server.files("tester/x")) == {"prompt.json", "prompt.safetensors"}


def test_only_files_of_artifacts_are_taken(
    server: Hub, registry: Registry, make: Make, tmp_path: Path
) -> None:
    push({"": make(1).save(tmp_path / "made")}, "tester/x", endpoint=server.url)
    files = server.files("tester/x")
    for path in ("model.bin", "../prompt.json", "a/b/prompt.json", ".git/prompt.json", "x.py"):
        files[path] = files["prompt.json"]
    server.asked.clear()
    pull("tester/x", registry, endpoint=server.url)
    taken = {asked.rpartition("/")[2] for asked in server.asked if "/resolve/" in asked}
    assert taken == {"prompt.json", "prompt.safetensors", "README.md"}
    assert registry.names() == ["x"]
    del files["prompt.json"]
    with pytest.raises(UsageError, match="holds no soft prompt"):
        pull("tester/x", registry, endpoint=server.url)


def test_what_the_hub_refuses_is_one_sentence(
    server: Hub,
    registry: Registry,
    make: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UsageError, match="it is not there, or not for you"):
        pull("tester/none", registry, endpoint=server.url)
    with pytest.raises(UsageError, match="no name of a repository"):
        pull("a/b/c", registry, endpoint=server.url)
    made = make(1).save(tmp_path / "made")
    push({"": made}, "tester/x", endpoint=server.url)
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(UsageError, match="it is not there, or not for you"):
        pull("tester/x", registry, endpoint=server.url)
    with pytest.raises(UsageError, match=r"Hub does not give access to tester/y: .*401") as caught:
        push({"": made}, "tester/y", endpoint=server.url)
    assert "hf_other" not in str(caught.value)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="HF_HUB_OFFLINE"):
        pull("tester/x", registry, endpoint=server.url)


def test_the_commands_reach_the_endpoint_of_the_environment(
    server: Hub, make: Make, tmp_path: Path
) -> None:
    make(1).save(tmp_path / "made")
    environment = {
        **os.environ,
        "HF_ENDPOINT": server.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path / "home"),
    }
    for words in (
        ["push", "made", "tester/reviews"],
        ["pull", "tester/reviews", "prompts", "--json"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "softprompt", *words],
            check=False,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
    with Registry(tmp_path / "prompts") as registry:
        assert registry.resolve("reviews").number == 1
