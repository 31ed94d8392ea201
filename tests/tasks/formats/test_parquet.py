from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from softprompt.errors import DataError
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.formats import read_table
from softprompt.tasks.text import as_text

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def put(path: Path, columns: dict[str, list[Any]], metadata: dict[str, str] | None = None) -> Path:
    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata(metadata) if metadata else table, path)
    return path


def test_rows_and_gaps_are_read(tmp_path: Path) -> None:
    path = put(tmp_path / "d.parquet", {"text": ["tốt", None], "label": [1.0, float("nan")]})
    table = read_table(path, TaskConfig())
    texts = [[as_text(cell) for cell in record.values()] for record in table.records]
    assert texts == [["tốt", "1"], ["", ""]]


def test_class_numbers_get_the_names_that_the_schema_has(tmp_path: Path) -> None:
    features = {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}, "text": {"dtype": "s"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    path = put(tmp_path / "d.parquet", {"text": ["a", "b", "c"], "label": [1, 0, -1]}, metadata)
    labels = [record["label"] for record in read_table(path, TaskConfig()).records]
    assert labels == ["pos", "neg", None]


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "d.parquet", {"text": ["a"]})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"d.parquet is no Parquet file that can be read"):
        read_table(path, TaskConfig())


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match="takes pyarrow, which is not installed") as error:
        read_table(tmp_path / "d.parquet", TaskConfig())
    assert "pip install 'softprompt[data]'" in error.value.hint
