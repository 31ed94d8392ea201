"""A real server on a free port of the loopback, in a thread of the test's process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from serving.made import made

from softprompt.errors import OverloadedError
from softprompt.serving import Answer, Piece, Prompts, Request, Ticket
from softprompt.serving.audit import Audit
from softprompt.serving.http import Server, ServerConfig, create_app
from softprompt.serving.http.server import bind
from softprompt.serving.http.service import Service
from softprompt.serving.jobs import Jobs
from softprompt.serving.keys import Keys
from softprompt.serving.source import Source

BASE = "tiny"


class Listed(Prompts):
    """Prompts in memory that can be listed, as a registry's can."""

    def names(self) -> list[str]:
        return list(self._versions)


def shelf() -> Listed:
    """A prompt that scores, one that writes, and a second version of the first."""
    prompts = Listed(
        {"rating": made("suffix", kind="score"), "story": made("suffix", kind="write", seed=1)}
    )
    prompts.put("rating", made("prefix", kind="score", seed=2))
    return prompts


class Held:
    """An engine whose answers come when the test says so."""

    def __init__(self, most: int = 100) -> None:
        self.most, self.tickets = most, list[Ticket]()
        self._arrived = threading.Condition()

    def submit(self, request: Request) -> Ticket:
        return self.submit_together([request])[0]

    def submit_together(self, requests: Sequence[Request]) -> list[Ticket]:
        with self._arrived:
            if len(self.tickets) + len(requests) > self.most:
                raise OverloadedError("Too many are waiting.", retry_after=7)
            tickets = [Ticket(request) for request in requests]
            self.tickets += tickets
            self._arrived.notify_all()
        return tickets

    @property
    def figures(self) -> dict[str, Any]:
        return {"running": 1, "waiting": len(self.tickets), "context_hits": 3, "context_misses": 4}

    def ticket(self, number: int = 0) -> Ticket:
        """The ticket that came as this one, once it is there."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.tickets) > number, 20)
            return self.tickets[number]


def piece(text: str) -> Piece:
    return Piece(text, 1)


def answer(text: str = "yes", **settings: Any) -> Answer:
    known = {"finish": "stop", "prompt": "story@1", "probabilities": {}}
    return Answer(text, **{**known, "prompt_tokens": 5, "completion_tokens": 2, **settings})


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether something becomes true within a time that only a defect exceeds."""
    end = time.monotonic() + 60
    while not holds() and time.monotonic() < end:
        time.sleep(0.005)
    return holds()


@dataclass
class Running:
    """A server that can be asked."""

    url: str
    service: Service
    server: Server
    key: str | None = None
    thread: threading.Thread = field(default_factory=threading.Thread)

    def http(self, **settings: Any) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        headers |= settings.pop("headers", {})
        return httpx2.Client(base_url=self.url, headers=headers, timeout=30, **settings)

    def refused(self, status: int, method: str, path: str, **request: Any) -> dict[str, Any]:
        """The error that a request gets, checked for its shape."""
        with self.http() as client:
            response = client.request(method, path, **request)
        return checked(response, status)


def checked(response: httpx2.Response, status: int) -> dict[str, Any]:
    """An error of the one shape, without anything that clients should not see."""
    assert response.status_code == status, response.text
    value: dict[str, Any] = response.json()
    assert set(value) == {"error"}
    error: dict[str, Any] = value["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert "Traceback" not in response.text
    assert "/tmp" not in response.text
    return error


@contextmanager
def running(
    engine: Any,
    source: Source,
    *,
    keys: Keys | None = None,
    key: str | None = None,
    audit: Audit | None = None,
    jobs: Jobs | None = None,
    **settings: Any,
) -> Iterator[Running]:
    config = ServerConfig(**{"port": 0, "drain_seconds": 5, **settings})
    app = create_app(engine, source, model=BASE, config=config, keys=keys, audit=audit, jobs=jobs)
    server = Server(app)
    listening = bind(config, with_keys=keys is not None)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        assert eventually(lambda: server.started)
        yield Running(url, app.state.service, server, key, thread)
    finally:
        server.force_exit = server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def failing(error: Exception) -> Any:
    """An engine that takes no request."""

    class Failing(Held):
        def submit_together(self, requests: Sequence[Request]) -> list[Ticket]:
            raise error

    return Failing()
