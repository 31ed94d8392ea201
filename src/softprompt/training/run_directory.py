"""The folder of a run: configuration, plan, metrics, curves, checkpoints, prompt, result.

    config.json     the resolved configuration
    plan.json       what was decided at the start: precision, steps, data hashes, estimate
    metrics.jsonl   one record a line
    checkpoints/    to go on from
    prompt/         the artifact
    curves.png      loss, score, gradients
    result.json     what the command prints with --json

It reads and writes; what the contents mean is the caller's matter.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from softprompt.errors import UsageError
from softprompt.locale import _
from softprompt.storage import disk_errors, hold, write_bytes, write_json
from softprompt.training.reporters import Reporter

__all__ = ["MetricsFile", "RunDirectory"]


class RunDirectory:
    """The paths and files of a run.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.prompt = path / "prompt"
        self.checkpoints = path / "checkpoints"
        self.metrics = path / "metrics.jsonl"
        self.curves = path / "curves.png"

    def refuse_used(self, command: str = "tune") -> None:
        """Refuses a folder that something is in already.

        Args:
            command: that goes on with what is begun there.

        Raises:
            UsageError: with the way to go on, where a run was begun there.
        """
        if self.path.is_dir() and any(self.path.iterdir()):
            begun = (self.path / "config.json").is_file()
            raise UsageError(
                _("The output folder {folder} is already in use.").format(folder=self.path),
                _(
                    "Go on with `softprompt {command} --resume {folder}`, or name another folder."
                ).format(command=command, folder=shlex.quote(str(self.path)))
                if begun
                else _("Name another folder, or empty this one."),
            )

    def create(self, config: Mapping[str, Any]) -> None:
        """Makes the folder and writes the configuration.

        Raises:
            UsageError: it cannot be written.
        """
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / "config.json", config)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other processes from working in the folder, which is there, for as long as the
        block lasts; where no lock can be had, it goes on without one.

        Raises:
            UsageError: another one is at work.
        """
        unlocked = -1
        try:
            lock = hold(self.path)
        except (OSError, UsageError):
            # Windows has no locks, nor have some network file systems.
            lock = unlocked
        if lock is None:
            raise UsageError(
                _("Another process works in {folder}.").format(folder=self.path),
                _("Wait until it has ended, or stop it and go on."),
            )
        try:
            yield
        finally:
            if lock != unlocked:
                os.close(lock)

    def read(self, name: str) -> dict[str, Any] | None:
        """The JSON file of that name, or None where there is none.

        Raises:
            UsageError: it is damaged.
        """
        try:
            value = json.loads((self.path / name).read_text(encoding="utf-8"))
            if not isinstance(value, dict):
                raise ValueError(f"{name} holds no object")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise UsageError(
                _("{path} is damaged or cannot be read.").format(path=self.path / name),
                _("Start the run anew."),
            ) from error
        return value

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Writes a JSON file in one step."""
        write_json(self.path / name, value)

    def records(self) -> list[dict[str, Any]]:
        """The records of metrics.jsonl; a last line that was cut off is left out."""
        try:
            lines = self.metrics.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        records = []
        for line in lines:
            try:
                records.append(json.loads(line))
            except ValueError:
                break
        return records

    def rewind(self, step: int) -> None:
        """Drops records after a step, and interim ones, so that none is written twice."""
        kept = [
            json.dumps(record, ensure_ascii=False)
            for record in self.records()
            if record["step"] <= step and not record.get("interim")
        ]
        write_bytes(self.metrics, "".join(line + "\n" for line in kept).encode())


class MetricsFile(Reporter):
    """Appends every record to metrics.jsonl."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run

    def record(self, record: Mapping[str, Any]) -> None:
        """Writes one line; a full disk ends the run with what was written before intact."""
        with disk_errors(self._run.metrics), self._run.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
