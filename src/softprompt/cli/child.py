"""A process that measures for another one: run to its end, and asked to stop with it."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile

__all__ = ["Ended", "Once", "ended", "stoppable"]

_SECONDS_TO_KEEP = 60


class Ended(KeyboardInterrupt):
    """This process alone was asked to end."""


class Once:
    """What SIGINT does: it interrupts, once within a second. A signal to a whole group reaches a
    process by itself and through who started it."""

    def __init__(self) -> None:
        # Help and mistakes are told without waiting for what trains.
        from softprompt.training.interrupt import ONCE_SECONDS

        self._last, self._apart = -math.inf, ONCE_SECONDS

    def __call__(self, number: int, frame: object) -> None:
        last, self._last = self._last, time.monotonic()
        if self._last - last > self._apart:
            raise KeyboardInterrupt


@contextmanager
def stoppable() -> Iterator[None]:
    """Ends on SIGTERM as on Ctrl-C."""

    def ask(number: int, frame: object) -> None:
        raise Ended

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def ended(command: list[str]) -> tuple[int, str]:
    """Runs a process to its end; returns its exit code and the mistake that it tells of, if any."""
    with TemporaryFile() as output, subprocess.Popen(command, stdout=output) as child:
        try:
            code = child.wait()
            output.seek(0)
            return code, _mistake(output.read()) if code > 0 else ""
        except KeyboardInterrupt as stop:
            # It keeps what it has learned so far. A terminal has told it as well.
            if isinstance(stop, Ended) or not _at_a_terminal():
                child.send_signal(signal.SIGINT)
            try:
                child.wait(_SECONDS_TO_KEEP)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                child.terminate()
            raise KeyboardInterrupt from None


def _at_a_terminal() -> bool:
    """Whether this process is in the group that a terminal tells of Ctrl-C."""
    if not hasattr(os, "ctermid"):
        return True
    try:
        terminal = os.open(os.ctermid(), os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _mistake(output: bytes) -> str:
    """What an object of `--json` says is wrong; nothing where the output is none."""
    try:
        return str(json.loads(output)["error"]["message"])
    except (KeyError, TypeError, ValueError):
        return ""
