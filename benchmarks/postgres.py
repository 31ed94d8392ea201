"""A PostgreSQL server to start and stop, on a socket in a folder of its own, never as root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Server", "binaries", "running"]

_ANYWHERE = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")


def binaries() -> Path | None:
    """The folder of `initdb` and `pg_ctl`, or None."""
    found = shutil.which("pg_ctl")
    places = [Path(found).resolve().parent] if found else []
    places += [path for glob in _ANYWHERE for path in Path("/").glob(glob[1:])]
    return next((path for path in places if (path / "initdb").is_file()), None)


class Server:
    """A server that can be stopped and started again.

    Args:
        folder: of its data and its socket.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._bin = folder, binaries()

    @property
    def url(self) -> str:
        """The address of its database."""
        return f"postgresql://tester@/postgres?host={self._folder}"

    def create(self) -> None:
        """Makes the data."""
        self._do(
            "initdb", "-A", "trust", "-U", "tester", "-E", "UTF8", "--no-sync", "-D", self._data
        )

    def start(self) -> None:
        """Starts it and waits until it answers."""
        options = f"-k {self._folder} -c listen_addresses='' -c fsync=off"
        log = str(self._folder / "log")
        self._do("pg_ctl", "-w", "-D", self._data, "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """Ends it at once, with all its connections."""
        self._do("pg_ctl", "-w", "-D", self._data, "-m", "immediate", "stop")

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _do(self, name: str, *words: str) -> None:
        assert self._bin is not None
        # The server refuses to run as root.
        user = {"user": "nobody", "extra_groups": []} if os.geteuid() == 0 else {}
        done = subprocess.run(
            [str(self._bin / name), *words],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
            timeout=120,
            **user,  # type: ignore[call-overload]
        )
        assert done.returncode == 0, done.stderr.decode()


@contextmanager
def running() -> Iterator[Server]:
    """A fresh server that ends with the block."""
    # The path of a socket has to be short.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
        server = Server(folder)
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
