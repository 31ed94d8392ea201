from __future__ import annotations

from pathlib import Path

import pytest

from softprompt.errors import DataError
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.formats import READERS, read_table

from ..conftest import Write


def test_the_formats() -> None:
    assert READERS.names() == [
        ".csv", ".json", ".jsonl", ".ndjson", ".parquet", ".tab", ".tsv", "hf:",
    ]  # fmt: skip


def test_the_suffix_may_be_written_in_capitals(write: Write) -> None:
    assert read_table(write("DATA.CSV", "text\na\n"), TaskConfig()).source == "DATA.CSV"


def test_a_missing_file_is_told_with_the_nearest(write: Write, tmp_path: Path) -> None:
    write("reviews.csv", "text\na\n")
    with pytest.raises(DataError, match=r"There is no file .*review\.csv") as error:
        read_table(tmp_path / "review.csv", TaskConfig())
    assert "reviews.csv?" in error.value.hint
    with pytest.raises(DataError, match="There is no file") as error:
        read_table(tmp_path / "no" / "x.unknown", TaskConfig())
    assert "no folder" in error.value.hint


def test_a_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder, not a file"):
        read_table(tmp_path, TaskConfig())


def test_an_unknown_format_is_told(write: Write) -> None:
    with pytest.raises(DataError, match=r"suffix '\.xlsx', which is no known") as error:
        read_table(write("d.xlsx", "x"), TaskConfig())
    assert error.value.hint == "Save the sheet as CSV."
    with pytest.raises(DataError, match=r"suffix '\.jsonk'") as error:
        read_table(write("d.jsonk", "x"), TaskConfig())
    assert "Did you mean '.json'?" in error.value.hint
