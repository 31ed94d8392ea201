"""The index: lists, a fast start, and doing without it; with SQLite and a real PostgreSQL."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text

from benchmarks.postgres import binaries, running
from softprompt.errors import UnknownPromptError
from softprompt.prompts import SoftPrompt
from softprompt.serving.registry import Registry, examination
from softprompt.serving.registry import folder as reading
from softprompt.serving.registry.database import address
from softprompt.serving.registry.tables import METADATA

Make = Callable[..., SoftPrompt]


def filled(folder: Path, make: Make, index_url: str | None = None) -> Registry:
    """Three names: tags a/b, a, none; accuracies 0.7, 0.9, none."""
    registry = Registry(folder, index_url=index_url, check_every=0)
    registry.publish("one", make(1, 0.7), tags={"a": "x", "b": ""})
    registry.publish("two", make(2, 0.9), tags={"a": "y"})
    registry.publish("three", make(3, metrics={}))
    registry.refresh()
    return registry


def listed(registry: Registry, **wanted: object) -> list[str]:
    return [card.name for card in registry.list(**wanted)]  # type: ignore[arg-type]


def check_lists(registry: Registry) -> None:
    assert listed(registry) == ["one", "three", "two"]
    assert listed(registry, tags={"a": None}) == ["one", "two"]
    assert listed(registry, tags={"a": "y"}) == ["two"]
    assert listed(registry, tags={"a": None, "b": ""}) == ["one"]
    assert listed(registry, tags={"c": None}) == []
    assert listed(registry, sort="test.accuracy") == ["two", "one", "three"]
    assert listed(registry, sort="created") == ["three", "two", "one"]
    assert listed(registry, limit=1, offset=1) == ["three"]
    card = registry.list()[0]
    assert (card.label, card.kind, card.labels) == ("one@1", "classification", ("pos", "neg"))
    assert (card.placement, card.length, card.depth, card.members) == ("suffix", 4, "input", 1)
    assert card.metrics["test"]["accuracy"] == 0.7
    assert card.bytes == sum(
        (registry.folder / "one" / "1" / name).stat().st_size
        for name in ("prompt.json", "prompt.safetensors")
    )


def test_lists(folder: Path, make: Make, index_url: str | None) -> None:
    with filled(folder, make, index_url) as registry:
        check_lists(registry)
        assert registry.index_trouble == ""
    with Registry(folder, index_url=index_url) as again:
        check_lists(again)


def test_what_a_person_wrote_harms_no_database(
    folder: Path, make: Make, index_url: str | None
) -> None:
    with filled(folder, make, index_url):
        pass
    tags = {"x" * 300: "long", "nul\0": "\0"}
    (folder / "one" / "name.json").write_text(json.dumps({"format": 1, "tags": tags}))
    identity = replace(make().backbone, weights="\0" * 64)
    make(5, backbone=identity).save(folder / "odd")
    with Registry(folder, index_url=index_url, check_every=0) as registry:
        assert listed(registry, tags={"nul?": "?"}) == ["one"]
        assert listed(registry) == ["odd", "one", "three", "two"]
        assert registry.index_trouble == ""


def test_lists_follow_changes(folder: Path, make: Make, index_url: str | None) -> None:
    with filled(folder, make, index_url) as registry:
        registry.publish("one", make(4, 0.95))
        assert listed(registry, sort="test.accuracy") == ["one", "two", "three"]
        registry.rollback("one")
        assert listed(registry, sort="test.accuracy") == ["two", "one", "three"]
        registry.remove("two")
        registry.tag("three", {"a": "z"})
        assert listed(registry, tags={"a": None}) == ["one", "three"]
        assert [card.number for card in registry.list()] == [1, 1]


def test_another_process_is_seen(folder: Path, make: Make, index_url: str | None) -> None:
    with (
        filled(folder, make, index_url) as one,
        Registry(folder, index_url=index_url, check_every=0) as other,
    ):
        one.publish("four", make(4))
        assert other.resolve("four").number == 1
        one.publish("four", make(5), aliases=["production"])
        assert other.resolve("four@production") == other.resolve("four") == one.resolve("four")
        other.rollback("four")
        assert one.resolve("four").number == 1
        one.remove("four")
        assert listed(other) == ["one", "three", "two"]
        with pytest.raises(UnknownPromptError):
            other.resolve("four")


def test_within_the_check_time_a_name_is_not_looked_up_again(
    folder: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Registry(folder) as writer:
        writer.publish("reviews", make(1))
    patient = Registry(folder, check_every=3600)
    patient.resolve("reviews")

    def refuse(*_: object) -> None:
        raise AssertionError("the folder is looked at")

    monkeypatch.setattr(reading.PromptFolder, "stamp", refuse)
    assert patient.resolve("reviews").number == 1


def test_a_large_folder_is_not_looked_through_at_every_list(
    folder: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = filled(folder, make)
    registry._held._took = 3600.0  # as if it had taken so long
    registry.publish("four", make(4))
    assert "four" in listed(registry)
    with Registry(folder) as other:
        other.publish("five", make(5))
    assert "five" not in listed(registry)
    assert registry.resolve("five").number == 1
    registry.refresh()
    assert "five" in listed(registry)


def test_a_known_artifact_is_not_read_again(
    folder: Path, make: Make, index_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(folder, make, index_url).close()
    make(4).save(folder / "dropped")
    settle(folder)
    with Registry(folder, index_url=index_url) as registry:
        expected = {name: registry.resolve(name) for name in registry.names()}
    read: list[Path] = []

    def examine(path: Path) -> object:
        read.append(path)
        return examination.examine(path)

    monkeypatch.setattr(reading, "examine", examine)
    with Registry(folder, index_url=index_url) as registry:
        assert {name: registry.resolve(name) for name in registry.names()} == expected
        assert read == []
        make(5).save(folder / "dropped")
        registry.refresh()
        assert {path.name for path in read} == {"dropped"}


def settle(folder: Path) -> None:
    """Waits until the registry trusts the times of the files."""
    probe = reading.PromptFolder(folder)
    names, _ = probe.entries()
    while not all(
        (state := probe.read(name)) and state.stamp and all(s.stamp for s in state.versions)
        for name in names
    ):
        pass


@pytest.mark.parametrize("damage", ["garbage", "cut", "empty", "tables", "flip", "gone"])
def test_a_damaged_index_is_made_anew(
    folder: Path, make: Make, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    filled(folder, make).close()
    file = folder / ".registry" / "index.sqlite"
    content = file.read_bytes()
    if damage == "tables":
        engine = create_engine(f"sqlite:///{file}")
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE softprompt_metrics"))
            connection.execute(text("DROP TABLE softprompt_prompts"))
        engine.dispose()
    elif damage == "flip":
        file.write_bytes(content.replace(b'"current":1', b'"current":7'))
    elif damage == "gone":
        shutil.rmtree(file.parent)
    else:
        file.write_bytes({"garbage": b"x" * 9000, "cut": content[:5000], "empty": b""}[damage])
    with caplog.at_level(logging.WARNING), Registry(folder, check_every=0) as registry:
        check_lists(registry)
        check_lists(registry)
        assert registry.index_trouble == ""
    if damage in ("garbage", "cut", "tables"):
        assert "made anew from the folder" in caplog.text


def test_an_index_damaged_while_in_use(folder: Path, make: Make) -> None:
    registry = filled(folder, make)
    (folder / ".registry" / "index.sqlite").write_bytes(b"x" * 9000)
    assert registry.publish("four", make(4)).number == 1
    registry.remove("four")
    check_lists(registry)
    (folder / ".registry" / "index.sqlite").unlink()
    check_lists(registry)
    registry.close()


def test_a_file_that_a_user_names_is_never_removed(
    folder: Path, make: Make, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.sqlite"
    mine.write_bytes(b"my precious notes" * 100)
    with filled(folder, make, f"sqlite:///{mine}") as registry:
        check_lists(registry)
        assert "not a database" in registry.index_trouble
    assert mine.read_bytes() == b"my precious notes" * 100


def test_an_index_that_cannot_be_reached(
    folder: Path, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("psycopg")
    url = "postgresql://user:secret@127.0.0.1:1/none"
    with caplog.at_level(logging.WARNING), filled(folder, make, url) as registry:
        check_lists(registry)
        assert registry.index_trouble
    assert "the folder alone decides" in caplog.text
    assert "secret" not in caplog.text


def test_a_database_of_a_newer_release_is_left_alone(
    folder: Path, make: Make, tmp_path: Path
) -> None:
    filled(folder, make).close()
    file = folder / ".registry" / "index.sqlite"
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE softprompt_version SET version_num = '9999'"))
    engine.dispose()
    content = file.read_bytes()
    with Registry(folder, check_every=0) as registry:
        check_lists(registry)
        assert "9999" in registry.index_trouble
    assert file.read_bytes() == content


def test_a_database_goes_and_comes_back(folder: Path, make: Make) -> None:
    pytest.importorskip("psycopg")
    if binaries() is None:
        pytest.skip("no PostgreSQL binaries are installed here")
    with running() as server:
        registry = filled(folder, make, server.url)
        server.stop()
        assert registry.publish("four", make(4)).number == 1
        registry.remove("one", None)
        assert listed(registry) == ["four", "three", "two"]
        assert registry.index_trouble
        server.start()
        registry._keeper._tried = float("-inf")  # as if the time to try again had come
        assert listed(registry, sort="test.accuracy") == ["two", "four", "three"]
        assert registry.index_trouble == ""
        registry.close()
        engine = create_engine(address(server.url))
        with engine.connect() as connection:
            rows = connection.execute(text("SELECT name FROM softprompt_prompts ORDER BY name"))
            assert [name for (name,) in rows] == ["four", "three", "two"]
        engine.dispose()


def test_a_copied_folder_takes_nothing_from_the_lists_of_the_first(
    folder: Path, make: Make, tmp_path: Path
) -> None:
    """Both have one name in a database that they share."""
    url = f"sqlite:///{tmp_path / 'shared.sqlite'}"
    with filled(folder, make, url) as first:
        shutil.copytree(folder, tmp_path / "copy")
        with Registry(tmp_path / "copy", index_url=url, check_every=0) as copy:
            copy.remove("two")
            copy.publish("four", make(4))
            for _ in range(2):
                assert listed(copy, servable=True) == ["four", "one", "three"]
                assert listed(first, servable=True) == ["one", "three", "two"]


def test_folders_share_a_database(tmp_path: Path, make: Make, index_url: str | None) -> None:
    if index_url is None:
        pytest.skip("the registry's own file belongs to one folder")
    with (
        filled(tmp_path / "a", make, index_url) as one,
        Registry(tmp_path / "b", index_url=index_url) as other,
    ):
        other.publish("else", make(1))
        assert listed(other) == ["else"]
        check_lists(one)


def test_migrations_make_the_tables_of_the_code(
    folder: Path, make: Make, index_url: str | None
) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with filled(folder, make, index_url) as registry:
        engine = create_engine(registry._keeper._location.url)
    names = set(METADATA.tables)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "include_name": lambda name, kind, _: kind != "table" or name in names,
                "version_table": "softprompt_version",
            },
        )
        assert compare_metadata(context, METADATA) == []
        assert names < set(inspect(connection).get_table_names())
    engine.dispose()


def test_migrations_go_back(folder: Path, make: Make) -> None:
    from alembic import command
    from alembic.config import Config

    from softprompt.serving.registry import migrations

    filled(folder, make).close()
    engine = create_engine(f"sqlite:///{folder / '.registry' / 'index.sqlite'}")
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        assert inspect(connection).get_table_names() == ["softprompt_version"]
    engine.dispose()
    with Registry(folder, check_every=0) as registry:
        check_lists(registry)


def test_a_read_only_folder_has_its_index_in_the_cache(
    folder: Path, make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    filled(folder, make).close()
    access = os.access
    monkeypatch.setattr(
        "os.access", lambda path, mode: folder not in Path(path).parents and access(path, mode)
    )
    monkeypatch.setenv("SOFTPROMPT_CACHE", str(tmp_path / "cache"))
    with Registry(folder, check_every=0) as registry:
        check_lists(registry)
    assert [path.suffix for path in (tmp_path / "cache" / "registry").iterdir()] == [".sqlite"]
    monkeypatch.setenv("SOFTPROMPT_CACHE", "off")
    with Registry(folder, check_every=0) as registry:
        check_lists(registry)


def test_a_folder_that_is_away_for_a_while_loses_nothing(folder: Path, make: Make) -> None:
    registry = filled(folder, make)
    folder.rename(folder.with_name("unmounted"))
    registry.refresh()
    assert registry.resolve("one").number == 1
    folder.with_name("unmounted").rename(folder)
    check_lists(registry)
