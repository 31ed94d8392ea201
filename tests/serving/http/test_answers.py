"""`/v1/classify`, `/v1/tasks` and columns: the engine's answers in the API's words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from serving.http.running import BASE, Listed, Running, eventually, running, shelf
from serving.made import made
from tiny import tiny_backbone

from softprompt.serving import Engine, Request

COLUMNS = {"title": "late parcel", "body": "it was broken"}


def columns() -> Listed:
    """The usual prompts and one that reads two columns."""
    prompts, prompt = shelf(), made("suffix", kind="score", seed=4)
    task = replace(prompt.task, template="{title}: {body}\n{answer}", inputs=("title", "body"))
    prompts.put("pair", replace(prompt, task=task))
    return prompts


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    source = columns()
    with Engine(tiny_backbone(), source) as engine, running(engine, source) as server:
        yield server


@pytest.fixture
def client(server: Running) -> Iterator[httpx2.Client]:
    with server.http() as client:
        yield client


def post(client: httpx2.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    value: dict[str, Any] = response.json()
    return value


def chances(server: Running, prompt: str, text: Any) -> Any:
    answer = server.service.engine.submit(Request(prompt=prompt, text=text)).result(60)
    return pytest.approx(dict(answer.probabilities), abs=1e-5)


def test_labels_of_several_texts(server: Running, client: httpx2.Client) -> None:
    texts = ["late", "great coffee", "late"]
    value = post(client, "/v1/classify", {"model": "rating", "input": texts})
    assert value["prompt_version"] == "rating@2"
    assert [one["index"] for one in value["data"]] == [0, 1, 2]
    for text, one in zip(texts, value["data"], strict=True):
        assert one["probabilities"] == chances(server, "rating", text)
        assert one["probability"] == max(one["probabilities"].values())
        assert one["probabilities"][one["label"]] == one["probability"]
    assert value["usage"]["total_tokens"] > value["usage"]["completion_tokens"] > 0


def test_labels_of_the_requests_own(client: httpx2.Client) -> None:
    for model in ("rating", "story", BASE):
        body = {"model": model, "input": "late", "labels": ["east", "west"]}
        [one] = post(client, "/v1/classify", body)["data"]
        assert set(one["probabilities"]) == {"east", "west"}
        assert sum(one["probabilities"].values()) == pytest.approx(1)


def test_columns_in_every_way(server: Running, client: httpx2.Client) -> None:
    wanted = chances(server, "pair", COLUMNS)
    [one] = post(client, "/v1/classify", {"model": "pair", "input": COLUMNS})["data"]
    assert one["probabilities"] == wanted
    completion = post(client, "/v1/completions", {"model": "pair", "inputs": COLUMNS})
    assert completion["choices"][0]["probabilities"] == wanted
    for content in (json.dumps(COLUMNS), COLUMNS):
        messages = [{"role": "user", "content": content}]
        chat = post(client, "/v1/chat/completions", {"model": "pair", "messages": messages})
        assert chat["choices"][0]["probabilities"] == wanted
    messages = [{"role": "user", "content": "of no matter"}]
    body = {"model": "pair", "messages": messages, "inputs": COLUMNS}
    chat = post(client, "/v1/chat/completions", body)
    assert chat["choices"][0]["probabilities"] == wanted
    text = json.dumps({"text": "late"})
    messages = [{"role": "user", "content": text}]
    chat = post(client, "/v1/chat/completions", {"model": "rating", "messages": messages})
    assert chat["choices"][0]["probabilities"] == chances(server, "rating", text), (
        "a prompt that reads one text reads JSON as it is"
    )


def test_several_prompts_about_one_text(server: Running, client: httpx2.Client) -> None:
    names = ["rating@1", "story", BASE, "rating@1"]
    value = post(client, "/v1/tasks", {"text": "late parcel", "prompts": names, "max_tokens": 4})
    assert [one["prompt"] for one in value["data"]] == names
    assert [one["prompt_version"] for one in value["data"]] == [
        "rating@1", "story@1", None, "rating@1",
    ]  # fmt: skip
    assert value["data"][0]["probabilities"] == chances(server, "rating@1", "late parcel")
    assert value["data"][1]["probabilities"] is None
    story = post(
        client, "/v1/completions", {"model": "story", "prompt": "late parcel", "max_tokens": 4}
    )
    assert value["data"][1]["text"] == story["choices"][0]["text"]
    total = sum(one["usage"]["prompt_tokens"] for one in value["data"])
    assert value["usage"]["prompt_tokens"] == total


def test_the_document_names_every_address(client: httpx2.Client) -> None:
    document = client.get("/openapi.json").json()
    assert len(document["paths"]) == 23
    for path in document["paths"].values():
        for operation in path.values():
            assert {"4XX", "5XX"} < set(operation["responses"])
            assert "422" not in operation["responses"]


def test_many_clients_at_once_get_the_answers_of_one(server: Running) -> None:
    texts = [f"parcel {number}" for number in range(60)]
    models = ["rating", "story", "rating@1", BASE]
    jobs = [(models[n % 4], text) for n, text in enumerate(texts)]

    def ask(job: tuple[str, str]) -> str:
        with server.http() as client:
            body = {"model": job[0], "prompt": job[1], "max_tokens": 6}
            return str(post(client, "/v1/completions", body)["choices"][0]["text"])

    with ThreadPoolExecutor(20) as pool:
        together = list(pool.map(ask, jobs))
    assert together == [ask(job) for job in jobs]
    assert eventually(lambda: server.service.open == 0)
