"""Who may do what: keys, scopes, lists of prompts, rates, origins, and what is written down."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from serving.http.running import (
    BASE,
    Held,
    Running,
    answer,
    checked,
    eventually,
    running,
    shelf,
)

from softprompt.errors import UnknownPromptError, UsageError
from softprompt.serving import Request, Ticket
from softprompt.serving import keys as keys_module
from softprompt.serving.http import ServerConfig
from softprompt.serving.http.caller import Caller, Rates
from softprompt.serving.http.errors import ApiError
from softprompt.serving.http.gate import is_loopback
from softprompt.serving.http.server import bind
from softprompt.serving.keys import Key, Keys

ASK = {"model": "story", "prompt": "late"}


class Prompt(Held):
    """Answers at once."""

    def submit_together(self, requests: Any) -> list[Ticket]:
        if any(request.prompt and request.prompt.startswith("nothing") for request in requests):
            raise UnknownPromptError("There is none.")
        tickets = super().submit_together(requests)
        for ticket in tickets:
            request: Request = ticket.request
            ticket.put(answer(prompt=f"{request.prompt}@1" if request.prompt else None))
        return tickets


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keys:
    monkeypatch.setattr(keys_module, "_SECONDS_BETWEEN_LOOKS", 0.0)
    return Keys(tmp_path / "keys.json")


@pytest.fixture
def guarded(keys: Keys) -> Iterator[Running]:
    _, text = keys.add("first")
    with running(Prompt(10_000), shelf(), keys=keys, key=text) as server:
        yield server


def as_(server: Running, text: str) -> Running:
    return Running(server.url, server.service, server.server, text)


@pytest.mark.parametrize("key", [None, "", "sp_000000000000_x", "Basic x"])
def test_without_a_key_nothing_is_told(guarded: Running, key: str | None) -> None:
    stranger = as_(guarded, key or "")
    for method, path in (
        ("GET", "/v1/models"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/prompts"),
        ("DELETE", "/v1/prompts/story"),
        ("GET", "/metrics"),
        ("GET", "/v1/nothing"),
    ):
        error = stranger.refused(401, method, path)
        assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    with stranger.http() as client:
        assert client.get("/v1/models").headers["www-authenticate"] == "Bearer"
        assert [client.get(path).status_code for path in ("/health", "/ready")] == [200, 200]


def test_a_key_lets_the_official_client_in(guarded: Running, keys: Keys) -> None:
    key = guarded.key
    with openai.OpenAI(base_url=f"{guarded.url}/v1", api_key=key, max_retries=0) as client:
        assert client.completions.create(**ASK).choices[0].text == "yes"  # type: ignore[call-overload]
        keys.revoke(keys.all()[0].id)
        with pytest.raises(openai.AuthenticationError):
            client.models.list()


def test_a_stranger_is_refused_before_the_body_comes(guarded: Running) -> None:
    host, port = guarded.url.removeprefix("http://").split(":")
    head = "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000000"
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(f"POST /v1/prompts HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode())
        assert b" 401 " in connection.recv(1000)


def test_scopes_are_apart(guarded: Running, keys: Keys) -> None:
    _, admin = keys.add("admin", scopes=("admin",))
    _, tune = keys.add("tune", scopes=("tune",))
    for text in (admin, tune):
        error = as_(guarded, text).refused(403, "POST", "/v1/completions", json=ASK)
        assert error["code"] == "insufficient_scope"
        assert "infer" in error["message"]
        with as_(guarded, text).http() as client:
            assert client.get("/v1/models").status_code == 200
    # Past the scope the prompts of this server turn out to have no cards.
    error = as_(guarded, admin).refused(403, "GET", "/v1/prompts")
    assert error["code"] == "prompts_are_fixed"
    error = as_(guarded, tune).refused(403, "GET", "/v1/prompts")
    assert error["code"] == "insufficient_scope"
    for method, path in (
        ("POST", "/v1/prompts"),
        ("DELETE", "/v1/prompts/story"),
        ("POST", "/v1/prompts/story/rollback"),
        ("DELETE", "/v1/prompts/story/aliases/a"),
    ):
        assert guarded.refused(403, method, path)["type"] == "permission_error"
    body = {"version": 1}
    assert guarded.refused(403, "PUT", "/v1/prompts/story/aliases/a", json=body)
    # Past the scope the prompts of this server turn out to be fixed.
    error = as_(guarded, admin).refused(403, "DELETE", "/v1/prompts/story")
    assert error["code"] == "prompts_are_fixed"


def test_a_key_sees_what_is_on_its_list_only(guarded: Running, keys: Keys) -> None:
    _, text = keys.add("team", scopes=("infer", "admin"), prompts=("story",))
    limited = as_(guarded, text)
    with limited.http() as client:
        assert [card["id"] for card in client.get("/v1/models").json()["data"]] == ["story"]
        assert client.get("/v1/models/story").status_code == 200
        assert client.post("/v1/completions", json={**ASK, "model": "story@1"}).status_code == 200
    unknown = limited.refused(404, "POST", "/v1/completions", json={**ASK, "model": "nothing"})
    for model in ("rating", "rating@1", BASE):
        hidden = limited.refused(404, "POST", "/v1/completions", json={**ASK, "model": model})
        assert hidden["message"].replace(model, "nothing").endswith(unknown["message"][-16:])
        assert "Allowed: story." in hidden["message"]
        assert limited.refused(404, "GET", f"/v1/models/{model}")
        body = {"text": "late", "prompts": ["story", model]}
        assert limited.refused(404, "POST", "/v1/tasks", json=body)["param"] == "prompts.1"
        body = {"model": model, "input": "late"}
        assert limited.refused(404, "POST", "/v1/classify", json=body)
    assert limited.refused(404, "DELETE", "/v1/prompts/rating")
    assert limited.refused(403, "GET", "/metrics")["code"] == "insufficient_scope"
    with guarded.http() as client:
        assert client.get("/metrics").status_code == 200


def test_a_rate_is_kept_by_answers(guarded: Running, keys: Keys) -> None:
    _, text = keys.add("slow", per_minute=1, burst=2)
    slow = as_(guarded, text)
    with slow.http() as client:
        assert client.post("/v1/completions", json=ASK).status_code == 200
        body = {**ASK, "prompt": ["a", "b", "c"]}
        assert client.post("/v1/completions", json=body).status_code == 200
        response = client.post("/v1/completions", json=ASK)
        assert checked(response, 429)["code"] == "rate_limit_exceeded"
        assert int(response.headers["retry-after"]) > 60
        assert client.get("/v1/models").status_code == 200, "only answers are counted"
    with guarded.http() as client:
        assert client.post("/v1/completions", json=ASK).status_code == 200, "each key has its own"


def test_what_there_was_no_room_for_costs_nothing(keys: Keys) -> None:
    _, text = keys.add("slow", per_minute=1, burst=1)
    engine = Prompt(0)
    with running(engine, shelf(), keys=keys, key=text) as server, server.http() as client:
        for _ in range(3):
            response = client.post("/v1/completions", json=ASK)
            assert checked(response, 429)["code"] == "overloaded"
        engine.most = 10
        assert client.post("/v1/completions", json=ASK).status_code == 200
        response = client.post("/v1/completions", json=ASK)
        assert checked(response, 429)["code"] == "rate_limit_exceeded"


def test_a_bucket_fills_by_the_minute() -> None:
    now = [0.0]
    rates = Rates(lambda: now[0])
    entry = {"id": "0" * 12, "name": "a", "digest": "0" * 64, "scopes": ["infer"], "created": ""}
    caller = Caller(Key.model_validate({**entry, "per_minute": 6, "burst": 2}))

    def wait() -> int:
        try:
            rates.spend(caller, 1)
        except ApiError as error:
            return int((error.headers or {})["Retry-After"])
        return 0

    assert [wait() for _ in range(3)] == [0, 0, 10]
    now[0] = 9.5
    assert wait() == 1
    now[0] = 10.0
    assert [wait(), wait()] == [0, 10]
    now[0] = 1000.0
    assert [wait() for _ in range(3)] == [0, 0, 10], "no more than the burst is saved up"


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Origin": "http://localhost:3000"}, True),
        ({"Origin": "http://127.0.0.1"}, True),
        ({"Origin": "https://studio.example"}, True),
        ({"Host": "localhost:9"}, True),
        ({"Host": "[::1]:9"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://["}, False),
        ({"Origin": "http://localhost.evil.example"}, False),
        ({"Host": "evil.example"}, False),
        ({"Host": "["}, False),
    ],
)
def test_pages_of_other_sites_are_kept_out(headers: dict[str, str], allowed: bool) -> None:
    origins = ("https://studio.example",)
    with running(Prompt(), shelf(), origins=origins) as server, server.http() as client:
        response = client.get("/v1/models", headers=headers)
    if allowed:
        assert response.status_code == 200
    else:
        assert checked(response, 403)["code"] == "foreign_origin"


STUDIO, EVIL = "https://studio.example", "https://evil.example"


@pytest.mark.parametrize(
    ("origin", "may_without_keys", "may_with_keys"),
    [(STUDIO, True, True), ("http://localhost:3000", True, False), (EVIL, False, False)],
)
def test_pages_may_ask_and_read_where_they_are_let_in(
    keys: Keys, origin: str, may_without_keys: bool, may_with_keys: bool
) -> None:
    _, key = keys.add("page")
    asks = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
    }
    for with_keys, may in ((None, may_without_keys), (keys, may_with_keys)):
        settings: Any = {"keys": with_keys, "origins": (f"{STUDIO}/",)}
        with running(Prompt(), shelf(), **settings) as server, server.http() as client:
            asked = client.options("/v1/completions", headers=asks)
            headers = {"Origin": origin, "Authorization": f"Bearer {key}"}
            answered = client.post("/v1/completions", json=ASK, headers=headers)
            failed = client.post("/v1/completions", json={**ASK, "n": 0}, headers=headers)
            stranger = client.get("/v1/models", headers={"Origin": origin})
            alone = client.get("/health")
        if not may:
            assert checked(asked, 401 if with_keys else 403)
        else:
            assert asked.status_code == 204
            assert "POST" in asked.headers["access-control-allow-methods"]
            told = asked.headers["access-control-allow-headers"]
            assert told == asks["Access-Control-Request-Headers"]
        for response in (asked, answered, failed, stranger):
            allowed = response.headers.get("access-control-allow-origin")
            assert allowed == (origin if may else None), response.text
            assert ("Origin" in response.headers.get("vary", "")) == may
        assert "access-control-allow-origin" not in alone.headers


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_a_public_address_needs_keys(host: str) -> None:
    with pytest.raises(UsageError, match="can be reached from other machines"):
        bind(ServerConfig(host=host, port=0), with_keys=False)
    assert not is_loopback(host)


def test_answers_are_not_held_back_to_be_joined() -> None:
    with bind(ServerConfig(port=0), with_keys=False) as taken:
        assert taken.proto == socket.IPPROTO_TCP


def test_a_port_in_use_is_told(tiny: Running) -> None:
    port = int(tiny.url.rpartition(":")[2])
    with pytest.raises(UsageError, match=f"Cannot listen at 127.0.0.1:{port}"):
        bind(ServerConfig(port=port), with_keys=False)


def logged(caplog: pytest.LogCaptureFixture, path: str) -> dict[str, Any]:
    assert eventually(lambda: any(path in message for message in caplog.messages))
    [line] = [json.loads(message) for message in caplog.messages if f'"{path}"' in message]
    return dict(line)


def test_a_line_for_each_request_without_contents(
    guarded: Running, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "softprompt.access")
    with guarded.http(headers={"X-Request-Id": "mine-1"}) as client:
        response = client.post("/v1/completions", json={**ASK, "prompt": "a private matter"})
    assert response.headers["x-request-id"] == "mine-1"
    line = logged(caplog, "/v1/completions")
    assert line["id"] == "mine-1"
    assert line["key"] == keys.all()[0].id
    assert (line["method"], line["status"], line["prompts"]) == ("POST", 200, ["story@1"])
    assert (line["prompt_tokens"], line["completion_tokens"]) == (5, 2)
    assert line["client"] == "127.0.0.1"
    assert line["milliseconds"] >= 0
    assert guarded.key is not None
    assert "private" not in caplog.text
    assert guarded.key not in caplog.text


def test_what_is_no_id_is_replaced(guarded: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "softprompt.access")
    with guarded.http(headers={"X-Request-Id": 'x" injected'}) as client:
        response = client.get("/v1/models/nothing%0ainjected")
    checked(response, 404)
    assert "injected" not in response.headers["x-request-id"]
    assert all("\n" not in message for message in caplog.messages if message.startswith("{"))


def test_contents_are_logged_where_that_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "softprompt.access")
    with running(Prompt(), shelf(), log_contents=True) as server, server.http() as client:
        client.post("/v1/completions", json=ASK)
    line = logged(caplog, "/v1/completions")
    assert line["contents"] == [{"text": "late", "answer": "yes"}]


def test_figures_are_named_as_elsewhere_and_few() -> None:
    prompts = shelf()
    for number in range(5):
        prompts.put(f"extra{number}", prompts.load(prompts.resolve("story")))
    with running(Prompt(), prompts, prompt_labels=2) as server, server.http() as client:
        for name in (BASE, "rating", "story@1", "extra1", "extra2"):
            assert client.post("/v1/completions", json={**ASK, "model": name}).status_code == 200
        checked(client.post("/v1/completions", json={**ASK, "model": "nothing@9"}), 404)
        page = client.get("/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert lines["softprompt:num_requests_running"] == "1.0"
    assert lines["softprompt:num_requests_waiting"] == "5.0"
    assert lines["softprompt:prefix_cache_hits_total"] == "3.0"
    assert lines["softprompt:prefix_cache_queries_total"] == "7.0"
    counted = {
        label: lines[f'softprompt:request_success_total{{finished_reason="stop",prompt="{label}"}}']
        for label in (BASE, "rating", "story", "other")
    }
    assert counted == {BASE: "1.0", "rating": "1.0", "story": "1.0", "other": "2.0"}
    assert lines['softprompt:generation_tokens_total{prompt="other"}'] == "4.0"
    assert lines['softprompt:e2e_request_latency_seconds_count{prompt="story"}'] == "1.0"
    assert lines['softprompt:time_to_first_token_seconds_count{prompt="story"}'] == "1.0"
    assert lines['softprompt:request_failure_total{code="model_not_found"}'] == "1.0"
    assert "nothing" not in page
    assert "extra1" not in page
