"""Requests that end early: clients that go, deadlines, full queues, a server that stops."""

from __future__ import annotations

import json
import signal
import socket
import threading
from typing import Any

import httpx2
import openai
import pytest
from serving.http.running import (
    Held,
    Running,
    answer,
    checked,
    eventually,
    failing,
    piece,
    running,
    shelf,
)

from softprompt.errors import ArtifactError, DeadlineError, ServingError
from softprompt.serving import Ticket

ASK = {"model": "story", "prompt": "late"}
CHAT = {"model": "story", "messages": [{"role": "user", "content": "late"}]}


def opened(server: Running, body: dict[str, Any], path: str = "/v1/completions") -> socket.socket:
    """A connection with a request on it."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    connection.sendall(head.encode() + f"Content-Length: {len(content)}\r\n\r\n".encode() + content)
    return connection


def cancelled(ticket: Ticket) -> bool:
    return ticket.expired is not None


@pytest.mark.parametrize("body", [ASK, {**ASK, "stream": True}])
def test_a_client_that_goes_before_the_answer_cancels(
    held: Running, engine: Held, body: dict[str, Any]
) -> None:
    connection = opened(held, body)
    ticket = engine.ticket()
    assert not cancelled(ticket)
    connection.close()
    assert eventually(lambda: cancelled(ticket))
    assert eventually(lambda: held.service.open == 0)


def test_a_client_that_goes_amid_a_stream_cancels(held: Running, engine: Held) -> None:
    connection = opened(held, {**CHAT, "stream": True}, "/v1/chat/completions")
    ticket = engine.ticket()
    ticket.put(piece("so"))
    received = b""
    while b'"so"' not in received:
        received += connection.recv(65536)
    assert not cancelled(ticket)
    connection.close()
    assert eventually(lambda: cancelled(ticket))
    assert eventually(lambda: held.service.open == 0)


def test_a_batch_that_fails_in_part_leaves_nothing_at_work(held: Running, engine: Held) -> None:
    engine.most = 2
    error = held.refused(429, "POST", "/v1/completions", json={**ASK, "prompt": ["a", "b", "c"]})
    assert error["code"] == "overloaded"
    assert len(engine.tickets) == 2
    assert all(cancelled(ticket) for ticket in engine.tickets)


def test_a_full_queue_says_when_to_come_again(held: Running, engine: Held) -> None:
    engine.most = 0
    with held.http() as client:
        response = client.post("/v1/completions", json=ASK)
    assert checked(response, 429)["type"] == "rate_limit_error"
    assert response.headers["retry-after"] == "7"
    official = openai.OpenAI(base_url=f"{held.url}/v1", api_key="none", max_retries=0)
    with official, pytest.raises(openai.RateLimitError):
        official.completions.create(model="story", prompt="late")


def test_too_many_open_requests_are_refused_and_counted_down() -> None:
    engine = Held()
    with running(engine, shelf(), max_open=1) as server:
        first = opened(server, ASK)
        ticket = engine.ticket()
        assert server.refused(429, "GET", "/v1/models")["code"] == "overloaded"
        with server.http() as client:
            assert client.get("/metrics").status_code == 200, "who watches still sees it"
        ticket.put(answer())
        assert b"200 OK" in first.recv(1000)
        assert eventually(lambda: server.service.open == 0)
        with server.http() as client:
            assert client.get("/v1/models").status_code == 200


@pytest.mark.parametrize(
    ("extra", "headers"),
    [({"deadline": 0.05}, {}), ({"timeout": 0.05}, {}), ({}, {"X-Deadline": "0.05"})],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_does_not_come_in_time(
    held: Running, engine: Held, extra: dict[str, Any], headers: dict[str, str], stream: bool
) -> None:
    body = {**ASK, **extra, "stream": stream}
    error = held.refused(504, "POST", "/v1/completions", json=body, headers=headers)
    assert error["code"] == "deadline_exceeded"
    assert "0.05 s" in error["message"]
    ticket = engine.ticket()
    assert ticket.request.deadline == 0.05
    assert cancelled(ticket)


def test_a_deadline_in_the_middle_of_a_stream_is_told_in_the_stream(
    held: Running, engine: Held
) -> None:
    def work() -> None:
        engine.ticket().put(piece("so"))
        engine.ticket().put(DeadlineError("The answer was not whole after 3 s."))

    threading.Thread(target=work).start()
    with openai.OpenAI(base_url=f"{held.url}/v1", api_key="none", max_retries=0) as official:
        stream = official.completions.create(**ASK, stream=True)  # type: ignore[call-overload]
        assert next(stream).choices[0].text == "so"
        with pytest.raises(openai.APIError, match="not whole after 3 s"):
            list(stream)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_waiting_for_a_thread_is_part_of_the_time(path: str) -> None:
    begun, go = threading.Semaphore(0), threading.Event()

    class Slow(Held):
        def submit_together(self, requests: Any) -> list[Ticket]:
            begun.release()
            assert go.wait(30)
            return super().submit_together(requests)

    with running(Slow(), shelf()) as server:
        others = [opened(server, ASK) for _ in range(8)]
        try:
            assert all(begun.acquire(timeout=20) for _ in others)
            error = server.refused(504, "POST", path, json={**ASK, **CHAT, "deadline": 0.1})
            assert error["code"] == "deadline_exceeded"
            gone = opened(server, {**ASK, **CHAT}, path)
            assert eventually(lambda: server.service.open == 9)
            gone.close()
            assert eventually(lambda: server.service.open == 8)
        finally:
            go.set()
            for other in others:
                other.close()


@pytest.mark.parametrize("value", [0, -1, 601, 1e300, "soon", "nan"])
def test_deadlines_have_a_range(held: Running, value: object) -> None:
    error = held.refused(400, "POST", "/v1/completions", json={**ASK, "deadline": value})
    assert error["param"] == "deadline"
    error = held.refused(
        400, "POST", "/v1/completions", json=ASK, headers={"X-Deadline": str(value)}
    )
    assert "at most 600" in error["message"]


def test_the_servers_deadline_holds_where_none_is_given(held: Running, engine: Held) -> None:
    connection = opened(held, ASK)
    assert engine.ticket().request.deadline == held.service.config.deadline
    connection.close()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ServingError("The model failed at this request."), 503, "engine_error"),
        (ArtifactError("/srv/prompts/story/3/prompt.json is damaged."), 422, "invalid_artifact"),
    ],
)
def test_errors_after_the_submission_have_their_status(
    held: Running, engine: Held, error: Any, status: int, code: str
) -> None:
    threading.Thread(target=lambda: engine.ticket().put(error)).start()
    told = held.refused(status, "POST", "/v1/completions", json=ASK)
    assert told["code"] == code
    assert "/srv" not in told["message"]


def test_a_defect_tells_no_more_than_an_id(caplog: pytest.LogCaptureFixture) -> None:
    engine = failing(ValueError("a secret at /srv/prompts"))
    with running(engine, shelf()) as server, server.http() as client:
        response = client.post("/v1/completions", json=ASK, headers={"X-Request-Id": "abc.1"})
    error = checked(response, 500)
    assert (error["code"], error["type"]) == ("internal_error", "server_error")
    assert "abc.1" in error["message"]
    assert response.headers["x-request-id"] == "abc.1"
    assert "secret" not in response.text
    assert "request abc.1 failed" in caplog.text
    assert "a secret" in caplog.text, "the log has the trace"


def test_a_server_that_stops_lets_requests_finish(held: Running, engine: Held) -> None:
    found: list[httpx2.Response] = []

    def ask() -> None:
        with held.http() as client:
            found.append(client.post("/v1/completions", json=ASK))

    asking = threading.Thread(target=ask)
    with held.http() as client:
        assert client.get("/ready").status_code == 200
        asking.start()
        ticket = engine.ticket()
        # Long enough for the checks below; the listening socket closes after it.
        held.server._delay = 3600
        held.server.handle_exit(signal.SIGTERM, None)
        assert checked(client.get("/ready"), 503)["code"] == "draining"
        assert client.get("/health").status_code == 200
        assert client.get("/metrics").status_code == 200
        response = client.post("/v1/completions", json=ASK)
        assert checked(response, 503)["code"] == "draining"
        assert response.headers["retry-after"]
    held.server.should_exit = True
    assert not cancelled(ticket)
    ticket.put(answer("finished"))
    asking.join(20)
    assert found[0].json()["choices"][0]["text"] == "finished"
    held.thread.join(20)
    assert not held.thread.is_alive()


def test_what_does_not_finish_in_its_time_is_cut_off() -> None:
    engine = Held()
    with running(engine, shelf(), drain_seconds=0) as server:
        connection = opened(server, ASK)
        ticket = engine.ticket()
        server.server.handle_exit(signal.SIGTERM, None)
        server.thread.join(20)
        assert not server.thread.is_alive()
        assert cancelled(ticket)
        connection.close()


def test_who_is_cut_off_learns_that_it_was_not_the_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = Held()
    with running(engine, shelf(), drain_seconds=1) as server:
        connection = opened(server, ASK)
        engine.ticket()
        streamed = opened(server, {**ASK, "stream": True})
        engine.ticket(1).put(piece("so"))
        begun = b""
        while b'"so"' not in begun:
            begun += streamed.recv(65536)
        server.server.handle_exit(signal.SIGTERM, None)
        server.thread.join(20)
        received = connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    assert b" 503 " in head
    assert b"retry-after: 5" in head.lower()
    assert json.loads(body)["error"]["code"] == "draining"
    assert b"[DONE]" not in streamed.recv(65536), "half an answer has no end"
    assert "Traceback" not in caplog.text


def test_a_second_signal_ends_at_once() -> None:
    engine = Held()
    with running(engine, shelf(), drain_seconds=3600) as server:
        connection = opened(server, ASK)
        engine.ticket()
        server.server.handle_exit(signal.SIGTERM, None)
        server.server.handle_exit(signal.SIGTERM, None)
        server.thread.join(20)
        assert not server.thread.is_alive()
        connection.close()


def test_a_server_whose_engine_has_ended_is_not_well() -> None:
    class Ended(Held):
        @property
        def figures(self) -> dict[str, Any]:
            return {**super().figures, "alive": False}

    with running(Ended(), shelf()) as server, server.http() as client:
        for path in ("/health", "/ready"):
            assert checked(client.get(path), 503)["code"] == "engine_ended"


def test_a_server_whose_upstream_is_lost_is_well_and_not_ready() -> None:
    class Alone(Held):
        @property
        def figures(self) -> dict[str, Any]:
            return {**super().figures, "ready": False}

    with running(Alone(), shelf()) as server, server.http() as client:
        assert client.get("/health").status_code == 200
        assert checked(client.get("/ready"), 503)["code"] == "upstream_unreachable"
