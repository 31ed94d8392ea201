"""Bad input at every address: the one shape of errors, the right status, what is allowed."""

from __future__ import annotations

import json
import select
import socket
from typing import Any

import pytest
from serving.http.running import Held, Running, checked, running, shelf

from softprompt.serving.http.unsupported import refuse_unsupported

COMPLETION, CHAT = "/v1/completions", "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "late"}]
BODIES: dict[str, dict[str, Any]] = {
    COMPLETION: {"model": "story", "prompt": "late"},
    CHAT: {"model": "story", "messages": MESSAGES},
    "/v1/classify": {"model": "rating", "input": "late"},
    "/v1/tasks": {"text": "late", "prompts": ["story", "rating"]},
}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"1" * 5000, b"[" * 50_000, b"{}", b"NaN"],
)
def test_what_is_no_body(tiny: Running, path: str, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    error = tiny.refused(400, "POST", path, content=content, headers=headers)
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", BODIES)
def test_a_body_of_another_kind(tiny: Running, path: str) -> None:
    for headers in ({"Content-Type": "text/plain"}, {}):
        content = json.dumps(BODIES[path])
        error = tiny.refused(400, "POST", path, content=content, headers=headers)
        assert "application/json" in error["message"]


@pytest.mark.parametrize(
    ("path", "field"), [(path, field) for path, body in BODIES.items() for field in body]
)
def test_each_field_that_is_needed(tiny: Running, path: str, field: str) -> None:
    body = {name: value for name, value in BODIES[path].items() if name != field}
    assert tiny.refused(400, "POST", path, json=body)["param"] == field
    for value in (7, None, {}, [], [[1, 2]], True, {"a": 1}):
        response_to = {**BODIES[path], field: value}
        with tiny.http() as client:
            response = client.post(path, json=response_to)
        error = checked(response, response.status_code)
        assert response.status_code in (400, 404), (value, error)


@pytest.mark.parametrize(
    ("extra", "param", "told"),
    [
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        ({"max_tokens": 10**30}, "max_tokens", ""),
        ({"temperature": -1}, "temperature", ""),
        ({"temperature": "hot"}, "temperature", "number"),
        ({"top_p": 0}, "top_p", ""),
        ({"top_p": 1.5}, "top_p", ""),
        ({"top_k": -2}, "top_k", ""),
        ({"seed": 2**63}, "seed", ""),
        ({"seed": 1.5}, "seed", ""),
        ({"stop": ""}, "stop", "1 to 200"),
        ({"stop": ["x"] * 17}, "stop", "up to 16"),
        ({"n": 0}, "n", ""),
        ({"n": 9}, "n", "1 to 8"),
        ({"n": 2, "stream": True}, "n", "streamed"),
        ({"stream_options": {}}, "stream_options", "stream: true"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "json_schema"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "schema"),
        ({"guided_json": "no json"}, "guided_json", "JSON schema"),
        ({"guided_json": {"type": "nothing"}}, None, ""),
        ({"guided_json": {"a": "x" * 60_000}}, "guided_json", "50000 bytes"),
        ({"guided_regex": "("}, None, ""),
        ({"guided_regex": "x" * 5000}, "guided_regex", "4000"),
        ({"guided_choice": []}, "guided_choice", "1 to 1000"),
        ({"guided_choice": ["a", "a"]}, "guided_choice", "different"),
        ({"guided_choice": ["a"], "guided_regex": "a"}, "guided_regex", "One constraint"),
        ({"structured_outputs": {"grammar": "x"}}, "guided_grammar", "not supported"),
        ({"template": "{text} {other} {answer}"}, None, "other"),
        ({"template": "{text}"}, None, "answer"),
        ({"inputs": {"nothing": "x"}}, None, "text"),
        ({"model": "story@9"}, "model", "no model or prompt"),
        ({"model": "story@"}, "model", "no model or prompt"),
        ({"model": "\ud800"}, "model", ""),
        ({"model": ""}, "model", ""),
        ({"model": "x" * 301}, "model", ""),
        ({"tools": [{"type": "function"}]}, "tools", "not supported"),
        ({"logit_bias": {"5": 100}}, "logit_bias", "not supported"),
        ({"prompt_embeds": "AAAA"}, "prompt_embeds", "Send text"),
        ({"presence_penalty": 0.5}, "presence_penalty", "not supported"),
    ],
)
@pytest.mark.parametrize("path", [COMPLETION, CHAT])
def test_fields_that_cannot_be(
    tiny: Running, path: str, extra: dict[str, Any], param: str | None, told: str
) -> None:
    content = json.dumps({**BODIES[path], **extra})
    headers = {"Content-Type": "application/json"}
    with tiny.http() as client:
        response = client.post(path, content=content, headers=headers)
    error = checked(response, 404 if "no model" in told else 400)
    assert param is None or error["param"] == param
    assert told in error["message"]


@pytest.mark.parametrize("path", [COMPLETION, CHAT])
def test_fields_that_ask_for_nothing_are_taken(tiny: Running, path: str) -> None:
    extra = {
        "logprobs": None if path == COMPLETION else False,
        "top_logprobs": None,
        "echo": False,
        "best_of": 1,
        "presence_penalty": 0,
        "tools": [],
        "logit_bias": {},
        "user": "somebody",
        "metadata": {"a": "b"},
        "service_tier": "auto",
        "a_field_of_next_year": {"x": 1},
        "response_format": {"type": "text"},
        "stop": None,
        "top_k": -1,
        "temperature": None,
    }
    with tiny.http() as client:
        assert client.post(path, json={**BODIES[path], **extra}).status_code == 200


@pytest.mark.parametrize("value", [[5, 6, 330], [[5, 6], [330]], 320, [320]])
def test_token_ids_are_refused(tiny: Running, value: Any) -> None:
    error = tiny.refused(400, "POST", COMPLETION, json={"model": "story", "prompt": value})
    assert error["param"] == "prompt"
    assert tiny.refused(400, "POST", "/v1/classify", json={"model": "rating", "input": value})


def test_conversations_that_cannot_be_read(tiny: Running) -> None:
    for messages, told in (
        ([], "at least 1"),
        ([{"role": "system", "content": "x"}], "user"),
        ([{"role": "tool", "content": "x"}], "user"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], "text"),
        ([{"role": "user", "content": {"nothing": "x"}}], "text"),
    ):
        error = tiny.refused(400, "POST", CHAT, json={"model": "story", "messages": messages})
        assert told in error["message"], error


def test_labels_that_cannot_be(tiny: Running) -> None:
    def refused(**body: Any) -> str:
        error = tiny.refused(400, "POST", "/v1/classify", json={"input": "late", **body})
        return str(error["message"])

    assert "writes freely" in refused(model="story")
    assert "no labels of its own" in refused(model="tiny")
    assert "different" in refused(model="rating", labels=["a", "a"])
    assert "at least 2" in refused(model="rating", labels=["a"])
    assert "1 to 64" in refused(model="rating", input=[])
    assert "1 to 64" in refused(model="rating", input=["a"] * 65)


@pytest.mark.parametrize(
    ("texts", "labels", "length", "most"),
    [(1, 41, 100, 4096), (8, 41, 100, 4096), (64, 11, 100, 1024), (1, 2, 2000, None)],
)
def test_labels_are_no_way_to_fill_the_memory(
    texts: int, labels: int, length: int, most: int | None
) -> None:
    body = {"model": "rating", "input": ["x"] * texts}
    body["labels"] = [f"{number:03d}".ljust(length, "đ")[:length] for number in range(labels)]
    if most is None:
        body["labels"] = [label.replace("đ", "d") for label in body["labels"]]
    with running(Held(), shelf()) as server:
        if most is not None:
            error = server.refused(400, "POST", "/v1/classify", json=body)
            assert (error["param"], error["code"]) == ("labels", "labels_too_long")
            assert f"at most {most} are taken for {texts} text" in error["message"]
        else:
            error = server.refused(504, "POST", "/v1/classify", json={**body, "deadline": 0.1})


def test_limits_of_texts_batches_and_bodies() -> None:
    with running(Held(), shelf(), max_text=10, max_batch=3, max_body_bytes=2000) as server:
        for path, body in (
            (COMPLETION, {"model": "story", "prompt": "x" * 11}),
            (COMPLETION, {"model": "story", "inputs": {"text": "x" * 11}}),
            (CHAT, {"model": "story", "messages": [{"role": "user", "content": "x" * 11}]}),
            (
                CHAT,
                {"model": "story", "messages": [{"role": "user", "content": {"text": "x" * 11}}]},
            ),
            ("/v1/classify", {"model": "rating", "input": ["x", "x" * 11]}),
            ("/v1/classify", {"model": "rating", "input": {"text": "x" * 11}}),
            ("/v1/tasks", {"text": "x" * 11, "prompts": ["story"]}),
        ):
            assert "at most 10" in server.refused(400, "POST", path, json=body)["message"]
        for path, body in (
            (COMPLETION, {"model": "story", "prompt": ["x", "y"], "n": 2}),
            ("/v1/classify", {"model": "rating", "input": ["x"] * 4}),
            ("/v1/tasks", {"text": "x", "prompts": ["story"] * 4}),
        ):
            assert server.refused(400, "POST", path, json=body)["code"] == "batch_too_large"
        large = {"model": "story", "prompt": "x" * 3000}
        for content in (json.dumps(large).encode(), iter([json.dumps(large).encode()])):
            headers = {"Content-Type": "application/json"}
            error = server.refused(413, "POST", COMPLETION, content=content, headers=headers)
            assert error["code"] == "request_too_large"
        assert eventually_closed(server)


def eventually_closed(server: Running) -> bool:
    with server.http() as client:
        return client.get("/v1/models").status_code == 200 and server.service.open <= 1


def test_a_body_that_does_not_come(tiny: Running) -> None:
    with running(Held(), shelf(), body_seconds=0.05) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            head = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 100"
            connection.sendall(f"POST {COMPLETION} HTTP/1.1\r\n{head}\r\n\r\n{{".encode())
            assert b" 408 " in connection.recv(1000)


def test_a_body_that_comes_in_drops() -> None:
    with running(Held(), shelf(), body_seconds=0.5) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            head = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 100"
            connection.sendall(f"POST {COMPLETION} HTTP/1.1\r\n{head}\r\n\r\n".encode())
            for _ in range(50):
                connection.sendall(b" ")
                if select.select([connection], [], [], 0.1)[0]:
                    break
            else:
                raise AssertionError("the body is still being read")
            assert b" 408 " in connection.recv(1000)


def test_long_names_are_told_in_part(tiny: Running) -> None:
    name = "x" * 100_000
    body = {"text": "late", "prompts": ["story", name]}
    error = tiny.refused(404, "POST", "/v1/tasks", json=body)
    assert error["param"] == "prompts.1"
    for told in (error, tiny.refused(404, "GET", f"/v1/models/{name[:20_000]}")):
        assert len(told["message"]) < 1000
        assert "..." in told["message"]


def test_no_log_probability_is_left_out_silently(tiny: Running) -> None:
    error = tiny.refused(400, "POST", COMPLETION, json={**BODIES[COMPLETION], "logprobs": 0})
    assert error["param"] == "logprobs"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/docs", 404),
        ("POST", f"{COMPLETION}/", 404),
        ("GET", "/health/", 404),
        ("GET", COMPLETION, 405),
        ("DELETE", "/v1/models", 405),
        ("PATCH", "/v1/prompts/story", 405),
        ("GET", "/v1/models/nothing", 404),
    ],
)
def test_addresses_that_are_none(tiny: Running, method: str, path: str, status: int) -> None:
    error = tiny.refused(status, method, path)
    assert status != 405 or "allowed: " in error["message"]


def test_every_refused_field_says_what_to_do() -> None:
    from softprompt.serving.http.errors import ApiError
    from softprompt.serving.http.unsupported import _REFUSED

    for name in _REFUSED:
        with pytest.raises(ApiError) as refused:
            refuse_unsupported({name: "x"})
        assert refused.value.param == name
        assert refused.value.message.count(".") == 2
