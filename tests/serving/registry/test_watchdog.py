"""A database that falls silent, and does not refuse, holds nobody up for long."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer

import pytest

from benchmarks.postgres import Server
from softprompt.prompts import SoftPrompt
from softprompt.serving.registry import Registry, watchdog

Make = Callable[..., SoftPrompt]


def processes(server: Server) -> list[int]:
    """The server's own, its first one first."""
    first = int(Path(server._data, "postmaster.pid").read_text().split()[0])
    found = [first]
    for place in Path("/proc").iterdir():
        try:
            stat = (place / "stat").read_text()
        except OSError:
            continue
        if place.name.isdecimal() and int(stat.rpartition(")")[2].split()[1]) == first:
            found.append(int(place.name))
    return found


@contextmanager
def frozen(server: Server, most: float) -> Iterator[None]:
    """A server that keeps its connections and says nothing, for so many seconds at most."""
    stopped = processes(server)

    def thaw() -> None:
        for process in stopped:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)

    for process in stopped:
        os.kill(process, signal.SIGSTOP)
    end = Timer(most, thaw)
    end.start()
    try:
        yield
    finally:
        end.cancel()
        thaw()


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_a_silent_database_is_done_without(
    folder: Path, make: Make, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Registry(folder, index_url=postgres.url, check_every=0) as registry:
        registry.publish("reviews", make(1))
        assert registry.index_trouble == ""
        began = time.monotonic()
        # A living server on a busy machine may take longer than this patience.
        with monkeypatch.context() as impatient, frozen(postgres, 60):
            impatient.setattr(watchdog, "SILENT_SECONDS", 0.5)
            assert registry.publish("reviews", make(2)).number == 2
            assert [card.number for card in registry.list()] == [2]
            assert time.monotonic() - began < 60
            assert registry.index_trouble != ""
        registry._keeper._tried = -1e9
        registry.refresh()
        assert registry.index_trouble == ""
        assert [card.number for card in registry.list()] == [2]


def test_a_file_needs_none(folder: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "SILENT_SECONDS", 0.0)
    with Registry(folder) as registry:
        registry.publish("reviews", make(1))
        assert registry.index_trouble == ""
