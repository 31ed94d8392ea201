"""The folder of a job: its record, what its process gets and leaves, and the run below it.

    job.json       the record
    settings.yaml  the configuration of the run
    start.json     what the keeper runs
    stop           that it shall stop, and why
    outcome.json   how it ended
    output.json    what the process printed: the result or the error
    log.txt        what it said beside
    lock           held for as long as a keeper lives
    run/           the folder that the training writes
    public/        the prompt that is about to be published

It reads and writes; what follows from the contents is the supervisor's matter.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from softprompt.serving.jobs.job import Job
from softprompt.storage import disk_errors, write_bytes, write_json

__all__ = ["JobFiles"]

_TAIL = 1 << 16


class JobFiles:
    """Paths and files of a job.

    Args:
        folder: of it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = folder / "run"
        self.prompt = self.run / "prompt"
        self.public = folder / "public"
        self.settings = folder / "settings.yaml"
        self.lock = folder / "lock"

    def save(self, job: Job) -> None:
        """Writes the record in one step.

        Raises:
            UsageError: it cannot be written.
        """
        write_json(self.folder / "job.json", job.as_json())

    def load(self) -> Job:
        """The record.

        Raises:
            OSError, ValueError, TypeError, KeyError: there is none, or it is damaged.
        """
        return Job.of(json.loads((self.folder / "job.json").read_text(encoding="utf-8")))

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Writes the configuration of the run; every character comes out as it went in."""
        text = yaml.safe_dump(dict(settings), allow_unicode=False, sort_keys=False)
        write_bytes(self.settings, text.encode("ascii"))

    @property
    def begun(self) -> bool:
        """Whether the data were found good: the run has written its configuration."""
        return (self.run / "config.json").is_file()

    def clear(self) -> None:
        """Clears away what an earlier attempt left and no later one needs.

        Raises:
            UsageError: the folder cannot be written.
        """
        with disk_errors(self.folder):
            for name in ("stop", "outcome.json", "output.json"):
                (self.folder / name).unlink(missing_ok=True)
            if not self.begun:
                shutil.rmtree(self.run, ignore_errors=True)

    def prepare(self, start: Mapping[str, Any]) -> None:
        """Writes what the keeper shall run."""
        write_json(self.folder / "start.json", start)

    def ask_to_stop(self, reason: str) -> None:
        """Lets the keeper know; nothing happens where none lives."""
        write_bytes(self.folder / "stop", reason.encode())

    def outcome(self) -> dict[str, Any] | None:
        """How the last attempt ended: `code` and `reason`; None while it has not."""
        return _object(self.folder / "outcome.json")

    def output(self) -> dict[str, Any] | None:
        """What the process printed; None where it printed no whole JSON object."""
        return _object(self.folder / "output.json")

    def log_tail(self) -> str:
        """The end of what the process said; not for clients, since it may hold anything."""
        try:
            with (self.folder / "log.txt").open("rb") as file:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - _TAIL))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def drop_checkpoints(self) -> None:
        """Frees the space of what only an unfinished run needs."""
        shutil.rmtree(self.run / "checkpoints", ignore_errors=True)


def _object(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
