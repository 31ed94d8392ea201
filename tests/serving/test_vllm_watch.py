"""A vLLM server that goes away is noticed, and is greeted again when it comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from serving.http.running import eventually
from serving.made import made
from serving.vllm_stand_in import StandIn, standing_in
from tiny import save_tiny

from softprompt.errors import ServingError
from softprompt.serving import Prompts, Request, Sampling
from softprompt.serving.ticket import Ticket
from softprompt.serving.vllm_engine import VllmEngine
from softprompt.serving.vllm_table import EmbeddingTable, load_embedding_table
from softprompt.serving.vllm_upstream import Upstream


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingTable:
    return load_embedding_table(str(save_tiny(tmp_path_factory.mktemp("tiny"))))


@contextmanager
def watching(table: EmbeddingTable, server: StandIn) -> Iterator[VllmEngine]:
    prompts = Prompts({"story": made("suffix", "input", "write")})
    with VllmEngine(table, prompts, Upstream(server.url), look_every=0.05) as engine:
        yield engine


def ask(engine: VllmEngine, most: int = 3) -> Ticket:
    sampling = Sampling(max_new_tokens=most)
    return engine.submit(Request(prompt="story", text="late", sampling=sampling))


def ready(engine: VllmEngine) -> bool:
    return bool(engine.figures["ready"])


def refusal(engine: VllmEngine) -> str:
    with pytest.raises(ServingError) as refused:
        ask(engine).result(60)
    return refused.value.message


def test_a_server_that_is_gone_and_comes_back_is_noticed(table: EmbeddingTable) -> None:
    with standing_in() as server, watching(table, server) as engine:
        whole = ask(engine).result(60).text
        assert ready(engine)
        server.health = 503
        assert eventually(lambda: not ready(engine))
        sent = len(server.bodies)
        with pytest.raises(ServingError, match=r"cannot be reached\. Try again later"):
            ask(engine).result(60)
        assert len(server.bodies) == sent
        server.health = 200
        assert eventually(lambda: ready(engine))
        assert len(server.bodies) == sent + 4
        assert ask(engine).result(60).text == whole


def test_nobody_at_the_address_is_noticed_without_a_request(
    table: EmbeddingTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A server that ends in the middle of an answer may leave the connection open.
    monkeypatch.setattr("softprompt.serving.vllm_upstream._HEALTH_SECONDS", 2.0)
    with standing_in() as server:
        opened = watching(table, server)
        engine = opened.__enter__()
    assert eventually(lambda: not ready(engine))
    opened.__exit__(None, None, None)


def test_a_server_that_comes_back_as_another_gets_no_requests(table: EmbeddingTable) -> None:
    with standing_in() as server, watching(table, server) as engine:
        server.health = 503
        assert eventually(lambda: not ready(engine))
        server.scale, server.health = 3.0, 200
        assert eventually(lambda: "does not read embeddings of" in refusal(engine))
        server.scale = 1.0
        assert eventually(lambda: ready(engine))
        assert ask(engine).result(60).text


def test_answers_that_have_stopped_coming_end_soon_after_the_server_is_lost(
    table: EmbeddingTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("softprompt.serving.vllm_upstream._LOST_SECONDS", 0.3)
    with standing_in(hangs_after=2) as server, watching(table, server) as engine:
        ticket = ask(engine, most=10)
        assert eventually(lambda: ticket.first is not None)
        server.health, begun = 503, time.monotonic()
        with pytest.raises(ServingError, match="cannot be reached"):
            ticket.result(60)
        assert time.monotonic() - begun < 10
        assert eventually(lambda: engine.figures["running"] == 0)


def test_answers_that_go_on_are_not_ended_when_the_server_stops_to_listen(
    table: EmbeddingTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("softprompt.serving.vllm_upstream._LOST_SECONDS", 1.0)
    with standing_in(pause=0.2) as server, watching(table, server) as engine:
        ticket = ask(engine, most=10)
        assert eventually(lambda: ticket.first is not None)
        server.health = 503
        assert eventually(lambda: not ready(engine))
        assert ticket.result(60).text
