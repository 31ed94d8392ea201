"""The server in front of vLLM: API, registry, keys and figures as in front of the own engine."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from serving.http.running import BASE, Running, checked, running
from serving.made import made
from serving.vllm_stand_in import StandIn, standing_in
from tiny import save_tiny, tiny_backbone

from softprompt.errors import BackboneError
from softprompt.serving import Engine
from softprompt.serving.keys import Keys
from softprompt.serving.registry import Registry
from softprompt.serving.vllm_engine import VllmEngine
from softprompt.serving.vllm_table import EmbeddingTable, load_embedding_table
from softprompt.serving.vllm_upstream import Upstream


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingTable:
    return load_embedding_table(str(save_tiny(tmp_path_factory.mktemp("tiny"))))


@pytest.fixture(scope="module")
def upstream() -> Iterator[StandIn]:
    with standing_in() as server:
        yield server


@pytest.fixture(scope="module")
def registry(table: EmbeddingTable, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    folder = tmp_path_factory.mktemp("prompts")
    with Registry(folder, backbone=table) as registry:  # type: ignore[arg-type]
        registry.publish("rating", made("suffix", kind="score"))
        registry.publish("story", made("suffix", kind="write", seed=1), aliases=["live"])
        yield registry


@pytest.fixture(scope="module")
def gateway(
    table: EmbeddingTable,
    registry: Registry,
    upstream: StandIn,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    keys = Keys(tmp_path_factory.mktemp("keys") / "keys.json")
    _, secret = keys.add("me", scopes=("infer", "admin"))
    with (
        VllmEngine(table, registry, Upstream(upstream.url)) as engine,
        running(engine, registry, keys=keys, key=secret) as server,
    ):
        yield server


@pytest.fixture(scope="module")
def client(gateway: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0) as client:
        yield client


def test_the_official_client_gets_what_the_own_engine_would_answer(
    client: openai.OpenAI, gateway: Running, registry: Registry
) -> None:
    assert {model.id for model in client.models.list()} >= {BASE, "rating", "story"}
    with Engine(tiny_backbone(), registry) as engine, running(engine, registry) as own:
        for name in ("story@live", "rating", BASE):
            body = {"model": name, "prompt": "giao hàng nhanh", "max_tokens": 12}
            with own.http() as ours, gateway.http() as theirs:
                one, other = (http.post("/v1/completions", json=body) for http in (ours, theirs))
            assert other.json()["prompt_version"] == one.json()["prompt_version"]
            assert other.json()["choices"][0]["text"] == one.json()["choices"][0]["text"]


def test_a_stream_is_the_whole_answer(client: openai.OpenAI) -> None:
    whole = client.completions.create(model="story", prompt="late", max_tokens=10)
    stream = client.completions.create(model="story", prompt="late", max_tokens=10, stream=True)
    parts = [event.choices[0].text for event in stream if event.choices]
    assert len(parts) > 1
    assert "".join(parts) == whole.choices[0].text


def test_labels_have_probabilities(gateway: Running) -> None:
    with gateway.http() as http:
        answer = http.post("/v1/classify", json={"model": "rating", "input": ["late", "nhanh"]})
    for label in answer.json()["data"]:
        assert sum(label["probabilities"].values()) == pytest.approx(1)


def test_keys_and_clients_embeddings_are_looked_at_here(
    gateway: Running, upstream: StandIn
) -> None:
    before = len(upstream.bodies)
    gateway.refused(401, "POST", "/v1/completions", headers={"Authorization": "Bearer no"})
    embeds = base64.b64encode(b"anything").decode()
    body = {"model": "story", "prompt": "late", "prompt_embeds": embeds}
    error = gateway.refused(400, "POST", "/v1/completions", json=body)
    assert error["param"] == "prompt_embeds"
    assert len(upstream.bodies) == before


def test_a_prompt_of_another_depth_is_not_registered(registry: Registry) -> None:
    for depth in ("deep", "kv"):
        with pytest.raises(BackboneError, match="vectors among the input embeddings only"):
            registry.publish("other", made("suffix", depth))
    assert "other" not in registry.names()


def test_figures_and_failures_have_the_servers_own_shape(
    table: EmbeddingTable, registry: Registry, tmp_path: Path
) -> None:
    with (
        standing_in() as upstream,
        VllmEngine(table, registry, Upstream(upstream.url)) as engine,
        running(engine, registry) as server,
        server.http() as http,
    ):
        assert http.post("/v1/completions", json={"model": "story", "prompt": "a"}).is_success
        page = http.get("/metrics").text
        assert "softprompt:num_prompts_loaded 1.0" in page
        for status, wanted in ((500, 503), (503, 429), (400, 400)):
            upstream.status = status
            body = {"model": "story", "prompt": "a"}
            error = checked(http.post("/v1/completions", json=body), wanted)
            assert "/srv" not in json.dumps(error)


def test_a_model_with_lora_is_served_by_the_own_engine(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(BackboneError, match="LoRA over a model") as error:
        load_embedding_table(str(tmp_path))
    assert "--engine own" in error.value.hint
