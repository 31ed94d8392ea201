"""Training processes: started under a keeper, found again after a restart, and how they ended.

Whether a keeper lives is told by the lock that it holds, so that no number of a process that was
given to another one misleads. It does not know jobs' records.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from softprompt.errors import UsageError
from softprompt.serving.jobs import keeper
from softprompt.serving.jobs.job import Failure
from softprompt.serving.jobs.job_files import JobFiles
from softprompt.serving.jobs.limits import JobLimits
from softprompt.storage import disk_errors, hold

__all__ = ["PROGRAM", "Processes", "why_failed"]

PROGRAM: tuple[str, ...] = (sys.executable, "-P", "-m", "softprompt")
"""The command line of this installation; no folder that it is started in adds modules to it."""

_NO_MEMORY = (
    "MemoryError", "can't allocate memory", "Cannot allocate memory", "OutOfMemoryError",
    "out of memory",
)  # fmt: skip


class Processes:
    """Starts keepers and looks after them.

    Args:
        limits: of each process.
        program: words before `tune`.
    """

    def __init__(self, limits: JobLimits, program: Sequence[str] = PROGRAM) -> None:
        self._limits, self._program = limits, tuple(program)
        self._children: list[subprocess.Popen[bytes]] = []

    def start(self, files: JobFiles, data: Path) -> None:
        """Starts a job, or goes on with it where its run was begun.

        Raises:
            UsageError: it cannot be started.
        """
        if files.begun:
            words = ["--resume", str(files.run)]
        else:
            words = [str(data), "--output", str(files.run), "--config", str(files.settings)]
        limits, threads = self._limits, str(self._limits.processors)
        files.prepare(
            {
                "command": [*self._program, "tune", *words, "--json"],
                "environment": {
                    "OMP_NUM_THREADS": threads,
                    "MKL_NUM_THREADS": threads,
                    # What goes wrong is told in the language of the other answers.
                    "SOFTPROMPT_LANG": "en",
                },
                "nice": limits.nice,
                "memory_bytes": limits.memory,
                "seconds": limits.seconds,
                "grace": limits.grace_seconds,
            }
        )
        with disk_errors(files.folder):
            lock = hold(files.lock)
            if lock is None:
                raise UsageError("The job is still running.", "Try again in a moment.")
            try:
                child = subprocess.Popen(
                    [sys.executable, "-I", str(Path(keeper.__file__)), str(files.folder)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(lock,),
                    start_new_session=True,
                )
            finally:
                # The keeper's own copy holds the lock from here on.
                os.close(lock)
        self._children.append(child)

    def lives(self, files: JobFiles) -> bool:
        """Whether a keeper looks after the job."""
        self._reap()
        try:
            lock = hold(files.lock)
        except OSError:
            return False
        if lock is None:
            return True
        os.close(lock)
        return False

    def _reap(self) -> None:
        """Lets the system forget keepers that have ended."""
        self._children = [child for child in self._children if child.poll() is None]


def why_failed(files: JobFiles, outcome: dict[str, Any] | None) -> Failure:
    """One sentence about a process that left no result."""
    if outcome is None:
        return Failure(
            "interrupted", "The training process ended with the machine or was ended. Resume it."
        )
    told = (files.output() or {}).get("error")
    code = outcome.get("code")
    if outcome.get("reason") == "time":
        return Failure(
            "time_limit",
            "The job took more time than the server allows. Resume it, or ask for fewer epochs.",
        )
    if isinstance(told, dict) and isinstance(told.get("message"), str):
        text = f"{told['message']} {told.get('hint') or ''}".strip()
        return Failure("training_refused", text)
    if any(sign in files.log_tail() for sign in _NO_MEMORY) or code == -9:
        return Failure(
            "out_of_memory",
            "The training process needed more memory than the server allows. Take a smaller "
            "batch_size or population, or shorter texts.",
        )
    return Failure(
        "training_failed", "The training process failed; the server's log of the job says why."
    )
