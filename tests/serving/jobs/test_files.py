"""Uploaded files: names, sizes, owners, and what lies in the folder."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from softprompt.errors import UsageError
from softprompt.serving.jobs import (
    FileStore,
    ItemStateError,
    JobLimits,
    UnknownItemError,
    Viewer,
)

ANNA, BELA = Viewer("aaaaaaaaaaaa", False), Viewer("bbbbbbbbbbbb", False)


def store(folder: Path, **limits: int) -> FileStore:
    return FileStore(folder / "files", JobLimits(**limits))  # type: ignore[arg-type]


def add(files: FileStore, name: str = "a.csv", content: bytes = b"a,b\n", who: Viewer = ANNA):  # type: ignore[no-untyped-def]
    return files.add(name, io.BytesIO(content), who)


def test_a_file_comes_back_as_it_went(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    file = add(store(tmp_path), "Bảng của tôi.Parquet", content)
    again = store(tmp_path)
    assert again.get(file.id, ANNA) == file
    with again.open(file) as found:
        assert found.read() == content
    assert (file.bytes, file.suffix) == (len(content), ".parquet")
    assert again.path(file).name == f"{file.id}.parquet"


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "../a.csv", "/etc/a.csv", "a\\b.csv", "c:a.csv", ".a.csv", "a\0.csv",
        "a\n.csv", 'a".csv', "x" * 300 + ".csv", "a.exe", "a", "a.csv.gz", "hf:a", "a.xlsx",
    ],
)  # fmt: skip
def test_names_lead_nowhere(tmp_path: Path, name: str) -> None:
    files = store(tmp_path)
    with pytest.raises(UsageError):
        add(files, name)
    assert list((tmp_path / "files").iterdir()) == []


def test_an_empty_file_is_none(tmp_path: Path) -> None:
    files = store(tmp_path)
    with pytest.raises(UsageError, match="empty"):
        add(files, content=b"")
    assert files.all(ANNA) == []
    assert list((tmp_path / "files").iterdir()) == []


def test_keys_see_their_own_files(tmp_path: Path) -> None:
    files = store(tmp_path)
    mine, theirs = add(files), add(files, who=BELA)
    assert [file.id for file in files.all(ANNA)] == [mine.id]
    assert {file.id for file in files.all(Viewer())} == {mine.id, theirs.id}
    with pytest.raises(UnknownItemError, match="There is no file"):
        files.get(theirs.id, ANNA)


def test_files_are_limited_in_number_and_size(tmp_path: Path) -> None:
    files = store(tmp_path, files_each=2, storage_bytes=20)
    add(files)
    add(files)
    with pytest.raises(ItemStateError, match="2 files already"):
        add(files)
    add(files, content=b"0123456789", who=BELA)
    with pytest.raises(ItemStateError, match="keeps 20 bytes of files, and 18"):
        add(files, content=b"0123", who=BELA)
    assert len(list((tmp_path / "files").iterdir())) == 3


def test_a_deleted_file_is_gone(tmp_path: Path) -> None:
    files = store(tmp_path)
    file = add(files)
    files.delete(file)
    assert list((tmp_path / "files").iterdir()) == []
    with pytest.raises(UnknownItemError):
        files.open(file)
    assert store(tmp_path).all(Viewer()) == []


def test_what_a_crash_left_is_cleared_away(tmp_path: Path) -> None:
    file = add(store(tmp_path))
    (tmp_path / "files" / ".half").mkdir()
    (tmp_path / "files" / "strange").mkdir()
    files = store(tmp_path)
    assert files.all(Viewer()) == [file]
    assert not (tmp_path / "files" / ".half").exists()
