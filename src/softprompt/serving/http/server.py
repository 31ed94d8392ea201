"""The process that listens: a safe address, an orderly end.

On SIGTERM or Ctrl-C `/ready` fails and new requests are refused, requests at work get their time,
and only then the process ends. A second signal ends it at once. It does not know the engine.
"""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
from types import FrameType
from typing import TextIO

import uvicorn
from fastapi import FastAPI

from softprompt.errors import UsageError
from softprompt.locale import LANGUAGES, current_language, set_language
from softprompt.serving.http.config import ServerConfig
from softprompt.serving.http.connection import Connection
from softprompt.serving.http.gate import is_loopback
from softprompt.serving.http.service import Service

__all__ = ["Server", "bind", "log_to", "run"]

# Connections that may wait to be taken, as uvicorn has it.
_BACKLOG = 2048
# The model's files, the registry's, threads' and those of connections between two requests.
_OTHER_FILES = 1024


def bind(config: ServerConfig, *, with_keys: bool) -> socket.socket:
    """Takes the port; nobody is let in before the server runs.

    Raises:
        UsageError: the address is public and there are no keys, or it cannot be had.
    """
    if not with_keys and not is_loopback(config.host):
        raise UsageError(
            f"{config.host or 'This host'} can be reached from other machines, and anybody there "
            "could ask and change prompts.",
            "Make a key (softprompt keys add NAME) and give --keys FILE, or listen at 127.0.0.1.",
        )
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    # Only where the protocol is named does asyncio switch off Nagle's delay: 40 ms an answer.
    taken = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((config.host.strip("[]"), config.port))
    except (OSError, UnicodeError) as error:
        taken.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"Cannot listen at {config.host}:{config.port}: {reason}.",
            "Choose another --host or --port; --port 0 takes a free one.",
        ) from error
    return taken


class Server(uvicorn.Server):
    """An application on a port.

    Args:
        app: of `create_app`.
    """

    def __init__(self, app: FastAPI) -> None:
        self._service: Service = app.state.service
        config = self._service.config
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                timeout_keep_alive=30,
                h11_max_incomplete_event_size=64 << 10,
                timeout_graceful_shutdown=round(config.drain_seconds),
            )
        )
        self._delay = config.drain_delay

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins the end, or, at the second signal, is it."""
        del frame
        if self._service.draining and sig in (signal.SIGINT, signal.SIGTERM):
            self.force_exit = self.should_exit = True
            return
        self._service.draining = True
        timer = threading.Timer(self._delay, self._stop)
        timer.daemon = True
        timer.start()

    def _stop(self) -> None:
        self.should_exit = True


def run(app: FastAPI, taken: socket.socket | None = None) -> None:
    """Serves until a signal ends it.

    Args:
        app: of `create_app`.
        taken: what `bind` returned; done here with the application's settings if absent.

    Raises:
        UsageError: see `bind`.
    """
    service: Service = app.state.service
    with_keys = service.keys is not None and service.keys.usable
    taken = taken or bind(service.config, with_keys=with_keys)
    _listen(taken)
    _allow_files(2 * service.config.max_open + _OTHER_FILES)
    log_to(sys.stdout)
    before = current_language()
    # What it answers is for programs, and the documents of its API are English.
    set_language(LANGUAGES[0])
    try:
        Server(app).run(sockets=[taken])
    finally:
        set_language(before)


def _listen(taken: socket.socket) -> None:
    """Lets clients in.

    Raises:
        UsageError: another process that had bound the port as well was faster.
    """
    try:
        taken.listen(_BACKLOG)
    except OSError as error:
        port = taken.getsockname()[1]
        raise UsageError(
            f"Cannot listen at port {port}: {error.strerror or error}.",
            "Choose another --port; --port 0 takes a free one.",
        ) from error


def _allow_files(number: int) -> None:
    """Lets the process have as many open files as the requests that it takes need.

    A connection is a file, and usual limits are below what `max_open` allows: clients would hang
    where they should learn that the server is full.
    """
    try:
        import resource
    except ImportError:  # not on Windows, which has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = number if hard == unlimited else min(number, hard)
    if soft != unlimited and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def log_to(stream: TextIO) -> None:
    """Writes the access log, one JSON line a request, and errors as they are."""
    access = logging.getLogger("softprompt.access")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    access.handlers, access.propagate = [handler], False
    access.setLevel(logging.INFO)
