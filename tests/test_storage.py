"""Writing whole or not at all: full disks, closed folders, and what stays when a write fails."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from softprompt.errors import DataError, UsageError
from softprompt.storage import (
    atomic_folder,
    canonical_json,
    disk_errors,
    hold,
    sha256,
    write_bytes,
    write_json,
)

KEPT = "Name another place, or make room there; what was written before is intact."


def failing(code: int) -> Callable[..., NoReturn]:
    """A stand-in for a call of the operating system."""

    def fail(*_: Any, **__: Any) -> NoReturn:
        raise OSError(code, os.strerror(code))

    return fail


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_canonical_json_is_one_text() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "tốt"}) == '{"a":"tốt","b":[1,2.5,null]}'
    assert canonical_json({"b": 1, "a": 2}) == canonical_json({"a": 2, "b": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"loss": float("nan")})


def test_sha256_is_the_standard_digest() -> None:
    assert sha256(b"abc") == hashlib.sha256(b"abc").hexdigest()
    assert sha256(b"").startswith("e3b0c44298fc1c14")


def test_write_bytes_creates_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "file.bin"
    write_bytes(path, b"first")
    write_bytes(path, b"second, longer")
    assert tree(tmp_path) == {"new/deep/file.bin": b"second, longer"}


def test_write_json_is_readable_unicode(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"answer": "tích cực", "n": 3})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text == '{\n  "answer": "tích cực",\n  "n": 3\n}\n'
    assert json.loads(text) == {"answer": "tích cực", "n": 3}


def test_write_json_refuses_nan_and_keeps_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"loss": 1.0})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("inf")})
    assert tree(tmp_path) == {"a.json": b'{\n  "loss": 1.0\n}\n'}


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_files_and_folders_get_the_usual_permissions(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        write_bytes(tmp_path / "file", b"")
        with atomic_folder(tmp_path / "folder"):
            pass
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644
        assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o755
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(mask)


@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.replace", "tempfile.mkstemp"])
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_a_failing_write_keeps_the_old_file(
    call: str, code: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrics.json"
    write_bytes(path, b"old")
    monkeypatch.setattr(call, failing(code))
    with pytest.raises(UsageError) as caught:
        write_bytes(path, b"new")
    monkeypatch.undo()
    assert caught.value.message == f"Cannot write {path}: {reason}."
    assert caught.value.hint == KEPT
    assert tree(tmp_path) == {"metrics.json": b"old"}


def test_a_wrapped_full_disk_is_named() -> None:
    with pytest.raises(UsageError, match="the disk is full"), disk_errors(Path("out")):
        raise RuntimeError("I/O error: No space left on device (os error 28)")


def test_other_errors_pass_unchanged() -> None:
    for error in (ValueError("a defect"), DataError("A row is empty."), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, disk_errors(Path("out")):
            raise error
        assert caught.value is error


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    with pytest.raises(UsageError, match="permission is denied"):
        write_bytes(closed / "file", b"x")
    with pytest.raises(UsageError, match="permission is denied"), atomic_folder(closed / "run"):
        raise AssertionError("the block runs although nothing can be written")
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("call", ["tempfile.mkdtemp", "pathlib.Path.mkdir"])
def test_a_denied_folder_is_refused_before_the_work(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call, failing(errno.EACCES))
    with pytest.raises(UsageError) as caught, atomic_folder(tmp_path / "run"):
        raise AssertionError("the block runs although nothing can be written")
    assert caught.value.message == f"Cannot write {tmp_path / 'run'}: permission is denied."


def test_what_stands_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="a folder stands there"):
        write_bytes(tmp_path / "folder", b"x")
    with pytest.raises(UsageError, match=r"a (part of the path is a file|file stands there)"):
        write_bytes(tmp_path / "file" / "below", b"x")
    with (
        pytest.raises(UsageError, match="a file stands there"),
        atomic_folder(tmp_path / "file"),
    ):
        raise AssertionError("the block runs although a file stands there")
    assert tree(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize("place", [".", "lock"])
def test_a_lock_on_a_file_or_a_folder_has_one_holder(tmp_path: Path, place: str) -> None:
    first = hold(tmp_path / place)
    assert first is not None
    assert hold(tmp_path / place) is None
    os.close(first)
    again = hold(tmp_path / place)
    assert again is not None
    os.close(again)


def test_atomic_folder_appears_whole_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "prompt"
    with atomic_folder(path) as folder:
        (folder / "a").write_bytes(b"1")
        (folder / "sub").mkdir()
        (folder / "sub" / "b").write_bytes(b"2")
        assert not path.exists()
    assert tree(tmp_path) == {"runs/prompt/a": b"1", "runs/prompt/sub/b": b"2"}


def fill(path: Path, **files: bytes) -> None:
    with atomic_folder(path) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)


def test_atomic_folder_replaces_the_whole_folder(tmp_path: Path) -> None:
    fill(tmp_path / "prompt", a=b"old", b=b"old")
    fill(tmp_path / "prompt", b=b"new", c=b"new")
    assert tree(tmp_path) == {"prompt/b": b"new", "prompt/c": b"new"}
    assert [path.name for path in tmp_path.iterdir()] == ["prompt"]


def test_atomic_folder_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    fill(tmp_path / "disk" / "prompt", a=b"old")
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "prompt")
    fill(tmp_path / "link", a=b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "prompt" / "a").read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "disk", "link", "prompt"]


@pytest.mark.parametrize("error", [ValueError("a defect"), KeyboardInterrupt(), SystemExit(1)])
def test_atomic_folder_keeps_the_old_one_when_the_block_fails(
    error: BaseException, tmp_path: Path
) -> None:
    fill(tmp_path / "prompt", a=b"old")
    with pytest.raises(type(error)), atomic_folder(tmp_path / "prompt") as folder:
        (folder / "a").write_bytes(b"half")
        raise error
    assert tree(tmp_path) == {"prompt/a": b"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["prompt"]


def test_atomic_folder_leaves_nothing_when_a_first_one_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a defect"), atomic_folder(tmp_path / "prompt"):
        raise ValueError("a defect")
    assert list(tmp_path.iterdir()) == []


def failing_rename(call: int, code: int) -> Callable[[Path, Path], Path]:
    """A rename whose call of that number (from 1) fails, and only that one."""
    rename, calls = Path.rename, iter(range(1, 100))

    def stand_in(self: Path, target: Path) -> Path:
        if next(calls) == call:
            raise OSError(code, os.strerror(code))
        return rename(self, target)

    return stand_in


@pytest.mark.parametrize("call", [1, 2])
def test_atomic_folder_restores_the_old_one_when_a_rename_fails(
    call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "prompt", a=b"old")
    monkeypatch.setattr(Path, "rename", failing_rename(call, errno.ENOSPC))
    with pytest.raises(UsageError, match="the disk is full"):
        fill(tmp_path / "prompt", a=b"new")
    monkeypatch.undo()
    assert tree(tmp_path) == {"prompt/a": b"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["prompt"]


def test_the_only_copy_is_never_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "prompt", a=b"old")
    rename = Path.rename

    def only_away(self: Path, target: Path) -> Path:
        if target.name == "prompt":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", only_away)
    with pytest.raises(UsageError, match="Cannot write"):
        fill(tmp_path / "prompt", a=b"new")
    monkeypatch.undo()
    assert list(tree(tmp_path).values()) == [b"old"]


def test_a_disk_full_at_the_flush_keeps_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "prompt", a=b"old")
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    with pytest.raises(UsageError, match="the disk is full"):
        fill(tmp_path / "prompt", a=b"new")
    monkeypatch.undo()
    assert tree(tmp_path) == {"prompt/a": b"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["prompt"]
