"""What is decided before a request is whole: time of its head, ports, open files."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from pathlib import Path

import pytest
from serving.http.running import Held, Running, running, shelf

from softprompt.errors import UsageError
from softprompt.serving.http import ServerConfig, create_app, run
from softprompt.serving.http import server as server_module
from softprompt.serving.http.server import bind
from softprompt.serving.keys import Keys

HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"


def connected(server: Running) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


@pytest.mark.parametrize("sent", [b"", b"GET", HEAD, HEAD + b"\r\n" + HEAD])
def test_a_head_that_does_not_come_ends_the_connection(sent: bytes) -> None:
    with running(Held(), shelf()) as server:
        server.server.config.timeout_keep_alive = 1
        with connected(server) as connection:
            connection.sendall(sent)
            received = b""
            while part := connection.recv(65536):
                received += part
            assert (b" 200 " in received) == (sent.count(b"\r\n\r\n") == 1)


def test_what_follows_a_refusal_is_not_read_for_ever(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys.json")
    keys.add("somebody")
    with running(Held(), shelf(), keys=keys) as server:
        server.server.config.timeout_keep_alive = 1
        with connected(server) as connection:
            head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"
            connection.sendall(head)
            assert b" 401 " in connection.recv(65536)
            end = time.monotonic() + 20
            with contextlib.suppress(ConnectionError):
                while time.monotonic() < end:
                    connection.sendall(b"x" * 100)
                    time.sleep(0.05)
            assert time.monotonic() < end


def test_a_port_that_another_took_in_the_meantime_is_told() -> None:
    config = ServerConfig(port=0)
    with bind(config, with_keys=False) as first:
        port = first.getsockname()[1]
        second = bind(ServerConfig(port=port), with_keys=False)
        first.listen()
        with second, pytest.raises(UsageError, match=f"Cannot listen at port {port}"):
            run(create_app(Held(), shelf(), model="tiny", config=config), second)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ((1024, 500_000), (3072, 500_000)),
        ((1024, 2000), (2000, 2000)),
        ((1024, resource.RLIM_INFINITY), (3072, resource.RLIM_INFINITY)),
        ((4096, 500_000), None),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), None),
    ],
)
def test_connections_may_be_as_many_as_requests(
    limits: tuple[int, int], wanted: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: given.append(pair))
    server_module._allow_files(3072)
    assert given == ([wanted] if wanted else [])
