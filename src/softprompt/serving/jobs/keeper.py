"""A process that runs one training process under limits and writes down how it ended.

    python -I keeper.py FOLDER LOCK

It is started by path and needs the standard library alone, so that it is small and lives on when
the server ends. It talks through files of the job's folder: `start.json` says what to run, a file
`stop` asks for an end (its content is the reason), `outcome.json` tells what came of it. For as
long as it lives it holds the lock on the open file LOCK, which the server took for it. It does not
know what the process does, but only that an interrupt (SIGINT) is a wish to stop.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["keep"]

_PAUSE = 0.1
_PR_SET_PDEATHSIG = 1
_LONGEST_REASON = 20


def keep(folder: Path) -> None:
    """Runs the process of a folder to its end."""
    start = json.loads((folder / "start.json").read_text(encoding="utf-8"))
    ended: list[int] = []
    # The system's wish to stop is passed on, and the reason told.
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with (folder / "output.json").open("wb") as output, (folder / "log.txt").open("wb") as log:
        try:
            child = subprocess.Popen(
                start["command"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                cwd=folder,
                env={**os.environ, **start["environment"]},
                start_new_session=True,
                # Safe here: this process has one thread.
                preexec_fn=lambda: _confine(start),  # noqa: PLW1509
            )
        except (OSError, subprocess.SubprocessError) as error:
            log.write(f"{type(error).__name__}: {error}\n".encode())
            _tell(folder, {"code": 1, "reason": "unstarted"})
            return
        reason = _watch(folder, child, start, ended)
    _tell(folder, {"code": child.returncode, "reason": reason})


def _watch(
    folder: Path, child: subprocess.Popen[bytes], start: dict[str, Any], ended: list[int]
) -> str:
    """Waits; asks the process to stop where there is a reason, and ends it where it does not."""
    reason, last = "", float("inf")
    end = time.monotonic() + start["seconds"]
    while True:
        with suppress(subprocess.TimeoutExpired):
            child.wait(_PAUSE)
            return reason
        now = time.monotonic()
        if not reason:
            reason = _asked(folder) or ("ended" if ended else "") or ("time" if now > end else "")
            if reason:
                last = now + start["grace"]
                with suppress(ProcessLookupError):
                    child.send_signal(signal.SIGINT)
        elif now > last:
            # It has a group of its own: whatever it started goes with it.
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


def _asked(folder: Path) -> str:
    try:
        return (folder / "stop").read_text(encoding="utf-8")[:_LONGEST_REASON]
    except (OSError, ValueError):
        return ""


def _confine(start: dict[str, Any]) -> None:
    """Limits of the process that is about to run."""
    import resource

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.nice(start["nice"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # What may be written to, not the addresses: drivers of accelerators reserve those in terabytes.
    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    with suppress(ValueError, OSError):
        _, most = resource.getrlimit(kind)
        limit = start["memory_bytes"]
        limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(kind, (limit, limit))
    if sys.platform == "linux":
        # It must not go on unwatched beside a second process that resumes the same run.
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _tell(folder: Path, outcome: dict[str, Any]) -> None:
    """Writes the outcome in one step."""
    fresh = folder / ".outcome.json"
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(outcome, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(folder / "outcome.json")


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
