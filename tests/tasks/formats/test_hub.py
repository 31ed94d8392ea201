from __future__ import annotations

import sys
from typing import Any

import pytest

from softprompt.errors import DataError
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.formats import read_table

datasets = pytest.importorskip("datasets")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Stands in for the network: one data set with named classes, and a record of the requests."""
    asked: list[tuple[Any, ...]] = []
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
    )

    def load(name: str, configuration: str | None, *, split: str) -> Any:
        asked.append((name, configuration, split))
        if name == "owner/absent":
            raise ConnectionError("Couldn't reach the Hub\nmore lines")
        columns = {"text": ["a", "b", "c"], "label": [1, 0, -1]}
        return datasets.Dataset.from_dict(columns, features=features)

    monkeypatch.setattr(datasets, "load_dataset", load)
    return asked


def test_class_numbers_get_their_names(hub: list[tuple[Any, ...]]) -> None:
    table = read_table("hf:owner/name", TaskConfig())
    assert [record["label"] for record in table.records] == ["pos", "neg", None]
    assert table.columns == ("text", "label")
    assert len(table.digest) == 64


@pytest.mark.parametrize(
    ("address", "split", "asked"),
    [
        ("hf:owner/name", None, ("owner/name", None, "train")),
        ("hf:owner/name", "dev", ("owner/name", None, "dev")),
        ("hf:owner/name:test[:9]", "dev", ("owner/name", None, "test[:9]")),
        ("hf:owner/name/config:test", None, ("owner/name", "config", "test")),
    ],
)
def test_address_and_split(
    hub: list[tuple[Any, ...]], address: str, split: str | None, asked: tuple[Any, ...]
) -> None:
    read_table(address, TaskConfig(split=split))
    assert hub == [asked]


def test_what_cannot_be_had_is_one_line(hub: list[tuple[Any, ...]]) -> None:
    with pytest.raises(DataError) as error:
        read_table("hf:owner/absent", TaskConfig())
    assert error.value.message.endswith("'train': Couldn't reach the Hub")
    assert "network" in error.value.hint
    with pytest.raises(DataError, match="names no data set"):
        read_table("hf:", TaskConfig())


def test_without_datasets_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match="takes the datasets library") as error:
        read_table("hf:owner/name", TaskConfig())
    assert "pip install 'softprompt[data]'" in error.value.hint
