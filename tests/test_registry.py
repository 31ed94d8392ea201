"""Registries: names, hints, and choices found by importing every file of a package."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from softprompt.errors import UsageError
from softprompt.registry import Registry, discover


@pytest.fixture
def greetings() -> Registry[Callable[[], str]]:
    registry: Registry[Callable[[], str]] = Registry("greeting")

    @registry.register("welcome")
    def welcome() -> str:
        return "Welcome"

    @registry.register("hello")
    def hello() -> str:
        return "Hello"

    return registry


def test_a_choice_is_found_by_its_name(greetings: Registry[Callable[[], str]]) -> None:
    assert greetings.get("hello")() == "Hello"
    assert "hello" in greetings
    assert "goodbye" not in greetings
    assert 7 not in greetings


def test_names_are_sorted(greetings: Registry[Callable[[], str]]) -> None:
    assert greetings.names() == ["hello", "welcome"]
    assert list(greetings) == ["hello", "welcome"]


def test_the_decorator_gives_its_object_back() -> None:
    registry: Registry[object] = Registry("thing")
    thing = object()
    assert registry.register("thing")(thing) is thing
    assert registry.get("thing") is thing


def test_an_unknown_name_is_answered_with_the_nearest(
    greetings: Registry[Callable[[], str]],
) -> None:
    with pytest.raises(UsageError) as caught:
        greetings.get("helo")
    assert caught.value.message == "Unknown greeting 'helo'."
    assert caught.value.hint == "Did you mean 'hello'? Allowed: hello, welcome."


def test_a_name_is_taken_once(greetings: Registry[Callable[[], str]]) -> None:
    with pytest.raises(AssertionError, match="greeting 'hello' is registered twice"):
        greetings.register("hello")(lambda: "again")
    assert greetings.get("hello")() == "Hello"


def test_registries_do_not_share_names(greetings: Registry[Callable[[], str]]) -> None:
    assert "hello" not in Registry[Callable[[], str]]("farewell")


def test_a_new_file_is_a_new_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "shapes_of_this_test"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from softprompt.registry import Registry, discover\n"
        "SHAPES = Registry('shape')\n"
        "discover(__name__, __path__)\n",
        encoding="utf-8",
    )
    for name in ("square", "circle"):
        (package / f"{name}.py").write_text(
            f"from shapes_of_this_test import SHAPES\nSHAPES.register({name!r})({name!r})\n",
            encoding="utf-8",
        )
    (package / "notes.txt").write_text("not a module", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        import shapes_of_this_test  # type: ignore[import-not-found]

        assert shapes_of_this_test.SHAPES.names() == ["circle", "square"]
        discover("shapes_of_this_test", [str(package)])
        assert shapes_of_this_test.SHAPES.names() == ["circle", "square"]
    finally:
        for name in [name for name in sys.modules if name.startswith("shapes_of_this_test")]:
            del sys.modules[name]
