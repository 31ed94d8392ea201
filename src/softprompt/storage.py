"""Writing files so that a reader sees the old or the new content, never a part.

Knows nothing of what the files mean. Failures of the disk (full, not writable) become one
sentence for the user.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from softprompt.errors import SoftPromptError, UsageError
from softprompt.locale import _, mark

__all__ = [
    "atomic_folder",
    "canonical_json",
    "disk_errors",
    "hold",
    "sha256",
    "write_bytes",
    "write_json",
]

_REASONS = {
    errno.ENOSPC: mark("the disk is full"),
    errno.EDQUOT: mark("the disk quota is used up"),
    errno.EACCES: mark("permission is denied"),
    errno.EPERM: mark("permission is denied"),
    errno.EROFS: mark("the file system is read-only"),
    errno.ENOTDIR: mark("a part of the path is a file"),
    errno.EEXIST: mark("a file stands there"),
    errno.EISDIR: mark("a folder stands there"),
}


def canonical_json(value: Any) -> str:
    """The one text of a JSON value: sorted keys, no spaces, no NaN, Unicode as it is."""
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )


def sha256(content: bytes) -> str:
    """Hexadecimal SHA-256 digest."""
    return hashlib.sha256(content).hexdigest()


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns what the operating system says about a path into one sentence.

    Raises:
        UsageError: the path is not writable, the disk is full, or something stands in its way.
    """
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, str(error.strerror or error))
        raise _unwritten(path, reason) from error
    except SoftPromptError:
        raise
    except Exception as error:
        # safetensors wraps the system's error in one of its own.
        if "No space left" not in str(error) and "os error 28" not in str(error):
            raise
        raise _unwritten(path, _REASONS[errno.ENOSPC]) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Replaces the file at `path` in one step; on failure the old file stays.

    Raises:
        UsageError: the file cannot be written.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def write_json(path: Path, value: Any) -> None:
    """Replaces the JSON file at `path` in one step (indented, Unicode as it is).

    Raises:
        UsageError: the file cannot be written.
    """
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A fresh folder to fill, put at `path` when the block ends well.

    An old folder is replaced with all that is in it; a link to a folder stays a link. On failure
    the old folder stays.

    Raises:
        UsageError: the folder cannot be written.
    """
    with disk_errors(path):
        place = path.resolve()
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists() and not place.is_dir():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        fresh = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
        old = fresh.with_name(fresh.name + ".old")
        try:
            yield fresh
            _flush(fresh)
            fresh.chmod(0o777 & ~_umask())
            if place.exists():
                place.rename(old)
            fresh.rename(place)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            if old.exists() and not place.exists():
                old.rename(place)
            raise
        shutil.rmtree(old, ignore_errors=True)


def hold(path: Path) -> int | None:
    """Takes the lock on a file, which is made where it is absent, or on a folder; None where
    somebody else has it.

    Returns:
        A descriptor; closing it, or the end of the process, gives the lock back.

    Raises:
        OSError: the file cannot be opened, or its file system has no locks.
        UsageError: the system has no such locks.
    """
    try:
        import fcntl
    except ImportError as error:
        raise UsageError(
            _("This system cannot tell whether another process is at work."),
            _("Use Linux or macOS."),
        ) from error
    how = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
    handle = os.open(path, how, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:
        os.close(handle)
        raise
    return handle


def _unwritten(path: Path, reason: str) -> UsageError:
    return UsageError(
        _("Cannot write {path}: {reason}.").format(path=path, reason=_(reason)),
        _("Name another place, or make room there; what was written before is intact."),
    )


def _flush(folder: Path) -> None:
    """Waits until the files are on the disk, so that no rename overtakes their content."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
