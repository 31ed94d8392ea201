"""Replicas on Ray Serve, two on this machine: answers, routing, versions, failures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from serving.http.running import eventually, running
from serving.made import made
from tiny import save_tiny, tiny_backbone

from softprompt.cluster import Replicas, ReplicaSettings, ReplicatedEngine
from softprompt.errors import (
    CancelledError,
    DataError,
    DeadlineError,
    ServingError,
    UnknownPromptError,
    UsageError,
)
from softprompt.serving import Answer, Engine, Piece, Request, Sampling
from softprompt.serving.registry import Registry

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="needs ray[serve], which is not installed"),
]
TEXTS = ("late", "giao hàng nhanh, đóng gói cẩn thận")
NAMES = {
    "rating": ("suffix", "input", "score"),
    "story": ("suffix", "input", "write"),
    "deep": ("prefix", "deep", "write"),
    "kv": ("prefix", "kv", "score"),
}


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    folder = tmp_path_factory.mktemp("cluster")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    prompts = folder / "prompts"
    with Registry(prompts) as registry:
        for seed, (name, kind) in enumerate(NAMES.items()):
            registry.publish(name, made(*kind, seed=seed))
    settings = ReplicaSettings(
        model=str(save_tiny(folder / "model")),
        prompts=str(prompts),
        dtype="fp32",
        device="cpu",
        replicas=2,
        cpus=0.5,
        start_seconds=120,
    )
    with Replicas(settings) as replicas:
        yield replicas


@pytest.fixture(scope="module")
def registry(replicas: Replicas) -> Iterator[Registry]:
    with Registry(replicas.settings.prompts, backbone=replicas.identity) as registry:
        yield registry


@pytest.fixture(scope="module")
def engine(replicas: Replicas, registry: Registry) -> Iterator[ReplicatedEngine]:
    with ReplicatedEngine(replicas, registry) as engine:
        yield engine


def ask(name: str | None, text: str = TEXTS[1], **settings: Any) -> Request:
    return Request(prompt=name, text=text, sampling=Sampling(**settings))


def idle(engine: ReplicatedEngine) -> bool:
    return engine.figures["running"] + engine.figures["waiting"] == 0


def answering(engine: ReplicatedEngine, asks: list[Request], *, together: bool = False) -> set[str]:
    """The replicas that answer requests."""
    assert eventually(lambda: idle(engine))
    before = dict(engine.answers)
    tickets = engine.submit_together(asks) if together else [engine.submit(asked) for asked in asks]
    assert all(ticket.result(60).text is not None for ticket in tickets)
    assert eventually(lambda: idle(engine))
    assert sum(engine.answers.values()) == sum(before.values()) + len(asks)
    return {name for name in engine.answers if engine.answers[name] != before.get(name, 0)}


def test_answers_are_those_of_one_engine(engine: ReplicatedEngine, registry: Registry) -> None:
    with Engine(tiny_backbone(), registry) as own:
        asks = [ask(name, text) for name in (*NAMES, None) for text in TEXTS]
        theirs = [engine.submit(asked) for asked in asks]
        for asked, ticket in zip(asks, theirs, strict=True):
            one, other = own.submit(asked).result(60), ticket.result(60)
            assert (other.text, other.prompt, other.finish) == (one.text, one.prompt, one.finish)
            assert other.probabilities == pytest.approx(one.probabilities, abs=1e-5)


def test_each_prompt_has_a_replica_of_its_own(engine: ReplicatedEngine, registry: Registry) -> None:
    used = set()
    for seed in range(8):
        registry.publish(f"own{seed}", made("suffix", seed=40 + seed))
        grown = answering(engine, [ask(f"own{seed}") for _ in range(10)])
        assert len(grown) == 1
        used |= grown
    assert len(used) == 2
    figures = engine.figures
    assert figures["loaded_prompts"] >= 8 and figures["loaded_bytes"] > 0


def test_both_replicas_answer(engine: ReplicatedEngine) -> None:
    def both() -> bool:
        tickets = [engine.submit(ask(None, f"text {number}")) for number in range(8)]
        assert all(ticket.result(60).text is not None for ticket in tickets)
        return len(engine.answers) == 2

    assert eventually(both)


def test_tasks_about_one_text_are_answered_together(engine: ReplicatedEngine) -> None:
    asks = [ask(name) for name in ("rating", "kv", "story")]
    alone = [engine.submit(asked).result(60) for asked in asks]
    assert len(answering(engine, asks, together=True)) == 1
    together = [ticket.result(60) for ticket in engine.submit_together(asks)]
    assert [answer.text for answer in together] == [answer.text for answer in alone]


def test_pieces_come_as_they_are_written(engine: ReplicatedEngine) -> None:
    *pieces, answer = list(engine.submit(ask("story", max_new_tokens=12)))
    assert isinstance(answer, Answer) and len(pieces) > 1
    assert all(isinstance(piece, Piece) for piece in pieces)
    assert "".join(piece.text for piece in pieces) == answer.text  # type: ignore[union-attr]


def test_a_new_version_is_answered_at_once(engine: ReplicatedEngine, registry: Registry) -> None:
    for number in range(1, 4):
        registry.publish("fresh", made("suffix", kind="write", seed=20 + number))
        assert engine.submit(ask("fresh")).result(60).prompt == f"fresh@{number}"
    registry.remove("fresh")
    with pytest.raises(UnknownPromptError):
        engine.submit(ask("fresh"))


def test_mistakes_are_told_as_one_engine_tells_them(engine: ReplicatedEngine) -> None:
    with pytest.raises(UnknownPromptError, match="nothing"):
        engine.submit(ask("nothing"))
    with pytest.raises(DataError, match="the window") as failure:
        engine.submit(ask("story", "word " * 200)).result(60)
    assert failure.value.hint
    with pytest.raises(UsageError, match="one text"):
        engine.submit(Request(prompt=None, text={"text": "a"})).result(60)


def test_who_leaves_or_waits_too_long_is_not_answered(engine: ReplicatedEngine) -> None:
    left = engine.submit(ask("story", max_new_tokens=90))
    left.cancel()
    with pytest.raises(CancelledError):
        left.result(60)
    late = Request(prompt="story", text="late", deadline=0.0)
    with pytest.raises(DeadlineError):
        engine.submit(late).result(60)
    assert eventually(lambda: idle(engine))


def test_a_replica_that_dies_is_replaced_and_its_requests_are_asked_again(
    engine: ReplicatedEngine, replicas: Replicas
) -> None:
    import ray
    from ray.util import list_named_actors

    del replicas
    before = engine.submit(ask("story")).result(60).text
    names = [one["name"] for one in list_named_actors(all_namespaces=True)]
    found = [name for name in names if "#replica#" in name]
    assert len(found) == 2, names
    ray.kill(ray.get_actor(found[0], namespace="serve"))
    for _ in range(10):
        assert engine.submit(ask("story")).result(120).text == before


def test_the_server_in_front_does_not_care(engine: ReplicatedEngine, registry: Registry) -> None:
    with running(engine, registry) as server, server.http() as http:
        body = {"model": "story", "prompt": "late", "max_tokens": 5}
        answer = http.post("/v1/completions", json=body).json()
        assert answer["prompt_version"] == "story@1"
        labels = http.post("/v1/classify", json={"model": "rating", "input": "late"}).json()
        assert sum(labels["data"][0]["probabilities"].values()) == pytest.approx(1)
        body = {"text": "late", "prompts": ["rating", "kv"]}
        assert len(http.post("/v1/tasks", json=body).json()["data"]) == 2
        assert "softprompt:num_requests_running" in http.get("/metrics").text


def test_more_replicas_than_there_is_room_for_are_refused(
    replicas: Replicas, tmp_path: Path
) -> None:
    more = replicas.settings.model_copy(update={"replicas": 1000, "prompts": str(tmp_path)})
    with pytest.raises(UsageError, match="1000 replicas take 500 cores"):
        Replicas(more)


def test_closing_ends_what_is_at_work(replicas: Replicas, registry: Registry) -> None:
    engine = ReplicatedEngine(replicas, registry)
    ticket = engine.submit(ask("story", max_new_tokens=90))
    engine.close(drain=False)
    with pytest.raises((CancelledError, ServingError)):
        ticket.result(0)
    with pytest.raises(ServingError, match="shutting down"):
        engine.submit(ask("story"))
