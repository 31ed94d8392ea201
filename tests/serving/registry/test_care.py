"""What a registry takes care of: names that mislead, links, and what fails for a moment only."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from softprompt.errors import UnknownPromptError, UsageError
from softprompt.prompts import SoftPrompt
from softprompt.serving.registry import Registry

Make = Callable[..., SoftPrompt]


@pytest.mark.parametrize("name", ["reviews@1", "reviews@", "reviews@production"])
def test_what_concerns_a_whole_name_takes_no_version(
    registry: Registry, make: Make, name: str
) -> None:
    for number in (1, 2):
        registry.publish("reviews", make(number), aliases=["production"])
    for change in (
        lambda: registry.remove(name),
        lambda: registry.remove(name, 1),
        lambda: registry.rollback(name),
        lambda: registry.unalias(name, "production"),
        lambda: registry.tag(name, {"team": "a"}),
    ):
        with pytest.raises(UsageError, match="Give the name alone"):
            change()
    assert [card.number for card in registry.history("reviews")] == [2, 1]
    assert registry.history("reviews")[0].aliases == ("production",)


def test_numbers_of_versions_have_an_end(registry: Registry, make: Make, folder: Path) -> None:
    make(1).save(folder / "reviews" / "999999999")
    assert registry.resolve("reviews").number == 999_999_999
    with pytest.raises(UsageError, match="no number is left"):
        registry.publish("reviews", make(2))
    assert registry.resolve("reviews").number == 999_999_999


def test_names_that_look_the_same_are_kept_apart(
    registry: Registry, make: Make, folder: Path
) -> None:
    registry.publish("Stra\u00dfe", make(1))
    (folder / "Left").mkdir()
    for twin in ("stra\u00dfe", "STRASSE", "\uff33trasse"):
        with pytest.raises(UsageError, match="written almost as 'Stra\u00dfe'"):
            registry.publish(twin, make(2))
    registry.publish("left", make(3))
    # Whoever has put both there keeps both.
    make(4).save(folder / "LEFT")
    assert registry.publish("LEFT", make(5)).number == 2
    assert registry.names() == ["LEFT", "Stra\u00dfe", "left"]


def test_no_other_file_is_published_as_the_card(
    registry: Registry, make: Make, folder: Path, tmp_path: Path
) -> None:
    made = make(1).save(tmp_path / "made")
    (tmp_path / "secret").write_text("of this machine")
    (made / "README.md").unlink()
    (made / "README.md").symlink_to(tmp_path / "secret")
    registry.publish("reviews", made)
    assert not (folder / "reviews" / "1" / "README.md").exists()


@pytest.mark.parametrize("place", ["prompt.json", "name.json", "version.json"])
def test_what_cannot_be_read_for_a_moment_is_not_taken_for_damaged(
    make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    written = Registry(folder)
    written.publish("reviews", make(1))
    written.publish("reviews", make(2), current=False, aliases=["production"])
    if place == "version.json":
        # Without a record the versions themselves say what they were published for.
        for name in ("name.json", ".name.json"):
            (folder / "reviews" / name).unlink()
    (folder / ".registry" / "index.sqlite").unlink()
    time.sleep(0.2)  # after which a file counts as settled
    read = Path.read_text

    def failing(path: Path, *words: Any, **settings: Any) -> str:
        if path.name.endswith(place):
            raise OSError(errno.EMFILE, "Too many open files", str(path))
        return read(path, *words, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", failing)
        registry = Registry(folder, check_every=0)
        with suppress(UnknownPromptError):
            registry.resolve("reviews@production")
    for found in (registry, Registry(folder)):
        assert found.resolve("reviews").number == 1
        assert found.resolve("reviews@production").number == 2
