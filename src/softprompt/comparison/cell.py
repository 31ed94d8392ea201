"""What was measured of one method with one number of rows, or why nothing was.

    result.json     what was measured; `provisional` while measurements that follow may end the
                    process
    error.json      `error` and `kind` (`refused`, `memory`, `failed`) of what went wrong

It does not know what is measured.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.errors import SoftPromptError, is_out_of_memory, reason_of
from softprompt.storage import disk_errors
from softprompt.training.run_directory import RunDirectory

__all__ = ["Cell"]

_RESULT, _ERROR = "result.json", "error.json"


@dataclass(frozen=True)
class Cell:
    """A folder, which need not be there.

    Args:
        path: of it.
    """

    path: Path

    @property
    def result(self) -> dict[str, Any] | None:
        """What was measured, or None; `provisional` where some of it is to follow."""
        return self._folder.read(_RESULT)

    @property
    def error(self) -> dict[str, Any] | None:
        """Why nothing was, or None."""
        return self._folder.read(_ERROR)

    @property
    def finished(self) -> bool:
        """Whether everything was measured."""
        result = self.result
        return result is not None and not result.get("provisional")

    @property
    def waiting(self) -> bool:
        """Whether it was not tried yet."""
        return self.result is None and self.error is None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other processes from measuring the same, for as long as the block lasts.

        Raises:
            UsageError: another one does, or the folder cannot be made.
        """
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        with self._folder.alone():
            yield

    def clear(self) -> None:
        """Removes all that is in the folder, if there is one."""
        for part in self.path.iterdir() if self.path.is_dir() else ():
            if part.is_dir():
                shutil.rmtree(part)
            else:
                part.unlink()

    def write(self, found: Mapping[str, Any]) -> None:
        """Writes down what was measured."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._folder.write(_RESULT, found)

    def fail(self, message: str, kind: str) -> None:
        """Writes down why nothing was."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._folder.write(_ERROR, {"error": message, "kind": kind})

    def cut_short(self, message: str) -> None:
        """Makes a provisional result the last word: what was trained is worth keeping without what
        is measured after it, and trying that again would end the process again."""
        result = self.result
        assert result is not None, "there is a provisional result"
        del result["provisional"]
        self.write({**result, "unmeasured": dict.fromkeys(result["unmeasured"], message)})

    def keep(self, do: Callable[[], dict[str, Any]]) -> bool:
        """Does something and writes down what it gives, or why it does not; whether it does."""

        def kept() -> None:
            self.write(do())

        if not self.attempt(kept, "failed"):
            return False
        (self.path / _ERROR).unlink(missing_ok=True)
        return True

    def attempt(self, do: Callable[[], None], kind: str) -> bool:
        """Does something, or writes down why not; whether it does."""
        try:
            do()
        except Exception as error:
            # One method's trouble, whatever it is, costs no other its measurement.
            # What the allocator calls a plain RuntimeError is told apart by its words.
            what = "memory" if is_out_of_memory(error) else kind
            if what == "refused" and not isinstance(error, SoftPromptError):
                what = "failed"
            self.fail(reason_of(error), what)
            return False
        return True

    @property
    def _folder(self) -> RunDirectory:
        return RunDirectory(self.path)
