"""The gateway to vLLM: it sends what the model would read, and answers as the own engine does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from serving.http.running import eventually
from serving.made import made
from serving.vllm_stand_in import StandIn, decoded, standing_in
from tiny import save_tiny, tiny_backbone

from softprompt.errors import (
    BackboneError,
    CancelledError,
    DeadlineError,
    OverloadedError,
    ServingError,
    SoftPromptError,
    UnknownPromptError,
    UsageError,
)
from softprompt.prompts import SoftPrompt
from softprompt.serving import Engine, Prompts, Request, Sampling
from softprompt.serving.vllm_engine import VllmEngine
from softprompt.serving.vllm_table import EmbeddingTable, load_embedding_table
from softprompt.serving.vllm_upstream import Upstream

TEXTS = ("late", "giao hàng nhanh, đóng gói cẩn thận")
PLACEMENTS = ("front", "prefix", "suffix", "both", "slots")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingTable:
    return load_embedding_table(str(save_tiny(tmp_path_factory.mktemp("tiny"))))


@pytest.fixture(scope="module")
def prompts() -> dict[str, SoftPrompt]:
    found = {
        f"{placement}-{kind}": made(placement, "input", kind, seed=seed)
        for seed, (placement, kind) in enumerate(
            (placement, kind) for placement in PLACEMENTS for kind in ("score", "write")
        )
    }
    found["ensemble"] = made("suffix", "input", "score", members=3)
    found["deep"] = made("suffix", "deep", "score")
    found["reading"] = made("suffix", "input", "score", readout=True)
    return found


@contextmanager
def gateway(
    table: EmbeddingTable, prompts: dict[str, SoftPrompt], server: StandIn, **settings: Any
) -> Iterator[VllmEngine]:
    upstream = Upstream(server.url, settings.pop("key", None), silence=settings.pop("silence", 30))
    with VllmEngine(table, Prompts(prompts), upstream, **settings) as engine:
        yield engine


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with standing_in() as server:
        yield server


@pytest.fixture(scope="module")
def engine(
    table: EmbeddingTable, prompts: dict[str, SoftPrompt], server: StandIn
) -> Iterator[VllmEngine]:
    with gateway(table, prompts, server) as engine:
        yield engine


@pytest.fixture(scope="module")
def own(prompts: dict[str, SoftPrompt]) -> Iterator[Engine]:
    with Engine(tiny_backbone(), Prompts(prompts)) as engine:
        yield engine


def ask(name: str | None, text: str = TEXTS[1], **settings: Any) -> Request:
    return Request(prompt=name, text=text, sampling=Sampling(**settings))


def test_only_the_embeddings_are_in_memory(table: EmbeddingTable) -> None:
    whole = tiny_backbone()
    held = [p for p in table.model.parameters() if p.device.type != "meta"]
    assert sum(p.numel() for p in held) == table.embedding_table.numel()
    assert torch.equal(table.embedding_table, whole.embedding_table)
    assert (table.bos, table.eos, table.window) == (whole.bos, whole.eos, whole.window)
    assert table.key_shapes == whole.key_shapes
    assert table.identity.weights == whole.identity.weights
    assert table.identity.tokenizer == whole.identity.tokenizer


def test_the_table_of_the_shipped_model_is_read_in_a_chosen_precision() -> None:
    assert load_embedding_table("nano", dtype="fp32").compute_dtype == torch.float32
    assert load_embedding_table("nano").dtype == "bf16"


@pytest.mark.parametrize(
    ("architecture", "message"), [("gemma", "scales them"), ("t5", "no decoder")]
)
def test_models_that_embed_otherwise_are_refused(
    architecture: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(BackboneError, match=message):
        load_embedding_table(str(save_tiny(tmp_path, architecture)))


def test_a_model_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="no model folder"):
        load_embedding_table(str(tmp_path / "nothing"))


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_answers_are_those_of_the_own_engine(
    engine: VllmEngine, own: Engine, placement: str
) -> None:
    for text in TEXTS:
        for kind in ("score", "write"):
            asked = ask(f"{placement}-{kind}", text)
            theirs, ours = engine.submit(asked).result(60), own.submit(asked).result(60)
            assert theirs.text == ours.text
            assert (theirs.finish, theirs.prompt) == (ours.finish, ours.prompt)
            assert theirs.probabilities == pytest.approx(ours.probabilities, abs=1e-5)
            assert theirs.prompt_tokens == ours.prompt_tokens
            assert theirs.completion_tokens == ours.completion_tokens


def test_ensembles_and_the_bare_model_answer_as_in_the_own_engine(
    engine: VllmEngine, own: Engine
) -> None:
    asks = (
        ask("ensemble"),
        ask(None),
        Request(prompt=None, text="late", choices=("up", "up and down", "down")),
        Request(prompt="suffix-write", text="late", choices=("up", "down")),
        Request(prompt="suffix-score", text="late", template="Say: {text}! {answer}"),
    )
    for asked in asks:
        theirs, ours = engine.submit(asked).result(60), own.submit(asked).result(60)
        assert theirs.text == ours.text
        assert theirs.probabilities == pytest.approx(ours.probabilities, abs=1e-5)


def test_what_is_sent_is_the_whole_embedded_sequence_and_every_setting(
    engine: VllmEngine, server: StandIn, table: EmbeddingTable, prompts: dict[str, SoftPrompt]
) -> None:
    before = len(server.sent)
    asked = ask(
        "suffix-write",
        "late",
        temperature=0.7,
        top_p=0.9,
        top_k=5,
        seed=3,
        stop=("###", "\n\n"),
        max_new_tokens=4,
    )
    engine.submit(asked).result(60)
    (body,) = server.sent[before:]
    ids = [table.bos, *table.encode("late\nĐánh giá:")]
    tokens_ND = table.embed(torch.tensor(ids))
    wanted_ND = torch.cat([tokens_ND, prompts["suffix-write"].vectors])
    assert torch.equal(decoded(body.pop("prompt_embeds")), wanted_ND)
    assert body == {
        "model": "tiny/stand-in",
        "max_tokens": 4,
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 5,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "seed": 3,
        "stop": ["###"],
        "stop_token_ids": [2],
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }


def test_labels_that_begin_alike_share_requests(engine: VllmEngine, server: StandIn) -> None:
    before = len(server.sent)
    engine.submit(Request(prompt="suffix-write", text="late", choices=("aa", "ab", "aab")))
    table = engine.backbone
    answers = [(*table.encode(f" {text}"), table.eos) for text in ("aa", "ab", "aab")]
    steps = {answer[: place + 1] for answer in answers for place in range(len(answer))}
    assert len(steps) < sum(map(len, answers))
    assert eventually(lambda: len(server.sent) - before == len(steps))


def test_what_the_server_cannot_do_is_refused_with_the_reason(engine: VllmEngine) -> None:
    with pytest.raises(UsageError, match="deep@1 is of depth deep, and a vLLM server takes"):
        engine.submit(ask("deep"))
    with pytest.raises(UsageError, match="reading@1 has a readout of contexts, whose values a vLL"):
        engine.submit(ask("reading"))
    with pytest.raises(UnknownPromptError, match="no prompt 'nothing'"):
        engine.submit(ask("nothing"))


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"takes_embeds": False}, BackboneError, "takes no embeddings.*enable-prompt-embeds"),
        ({"scale": 3.0}, BackboneError, "does not read embeddings of .* as it reads its own"),
        ({"mode": "processed"}, BackboneError, "no log-probabilities of its model"),
        ({"key": "secret"}, ServingError, "does not accept the gateway's key"),
    ],
)
def test_a_server_that_would_answer_wrongly_is_refused_at_the_start(
    table: EmbeddingTable, settings: dict[str, Any], kind: type[SoftPromptError], message: str
) -> None:
    with (
        standing_in(**settings) as server,
        pytest.raises(kind, match=message),
        gateway(table, {}, server),
    ):
        pass


def test_a_server_with_a_key_gets_it(table: EmbeddingTable, prompts: dict[str, SoftPrompt]) -> None:
    with standing_in(key="k") as server, gateway(table, prompts, server, key="k") as engine:
        assert engine.submit(ask("suffix-write")).result(60).text


def test_nobody_there_is_told(table: EmbeddingTable) -> None:
    with pytest.raises(ServingError, match="cannot be reached"):
        VllmEngine(table, Prompts(), Upstream("http://127.0.0.1:9"))
    for url in ("ftp://a", "http://", "http://me:secret@host"):
        with pytest.raises(UsageError, match="no address"):
            Upstream(url)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"status": 500}, ServingError, "failed at this request"),
        ({"status": 503}, OverloadedError, "overloaded"),
        ({"status": 400}, UsageError, "does not take the request: no luck"),
        ({"status": 404}, ServingError, "does not know"),
        ({"breaks_after": 1}, ServingError, "in the middle of an answer"),
        ({"error_after": 2}, ServingError, "failed at this request"),
    ],
)
def test_failures_of_the_server_are_told_in_words(
    table: EmbeddingTable,
    prompts: dict[str, SoftPrompt],
    settings: dict[str, Any],
    kind: type[SoftPromptError],
    message: str,
) -> None:
    with standing_in(**settings) as server, gateway(table, prompts, server) as engine:
        if "status" in settings:
            server.bodies += [{"prompt_embeds": ""}]
            with pytest.raises(kind, match=message):
                engine.submit(ask("suffix-score")).result(60)
        with pytest.raises(kind, match=message):
            engine.submit(ask("suffix-write")).result(60)
        assert eventually(lambda: engine.figures["running"] == 0)


def test_the_servers_window_is_the_gateways(
    table: EmbeddingTable, prompts: dict[str, SoftPrompt]
) -> None:
    whole = table.window
    try:
        with standing_in(window=40) as server, gateway(table, prompts, server) as engine:
            with pytest.raises(SoftPromptError, match="window of the model has 40"):
                engine.submit(ask("suffix-write", "word " * 30))
            answer = engine.submit(ask("suffix-write", "late", max_new_tokens=100)).result(60)
            assert answer.prompt_tokens + server.sent[-1]["max_tokens"] == 40
    finally:
        table.window = whole


@pytest.mark.parametrize(
    ("leave", "kind"),
    [
        (lambda ticket: ticket.cancel(), CancelledError),
        (lambda ticket: None, DeadlineError),
    ],
)
def test_who_leaves_or_waits_too_long_ends_the_work_of_the_server(
    table: EmbeddingTable,
    prompts: dict[str, SoftPrompt],
    leave: Callable[[Any], None],
    kind: type[SoftPromptError],
) -> None:
    with standing_in(pause=0.3) as server, gateway(table, prompts, server) as engine:
        limit = 0.5 if kind is DeadlineError else None
        long = Sampling(max_new_tokens=60)
        ticket = engine.submit(
            Request(prompt="suffix-write", text="late", sampling=long, deadline=limit)
        )
        assert eventually(lambda: engine.figures["running"] == 1)
        leave(ticket)
        with pytest.raises(kind):
            ticket.result(30)
        assert eventually(lambda: server.left == 1)


def test_a_silent_server_is_given_up(table: EmbeddingTable, prompts: dict[str, SoftPrompt]) -> None:
    with (
        standing_in(pause=5.0) as server,
        gateway(table, prompts, server, silence=0.3) as engine,
        pytest.raises(DeadlineError, match=r"silent for 0\.3 s"),
    ):
        engine.submit(ask("suffix-write")).result(30)


def test_too_many_are_refused_and_the_others_are_answered(
    table: EmbeddingTable, prompts: dict[str, SoftPrompt]
) -> None:
    with (
        standing_in(pause=0.05) as server,
        gateway(table, prompts, server, max_rows=1, max_waiting=2) as engine,
    ):
        tickets = [engine.submit(ask("suffix-write", max_new_tokens=3))]
        assert eventually(lambda: engine.figures["running"] == 1)
        tickets += [engine.submit(ask("suffix-write", max_new_tokens=3)) for _ in range(2)]
        with pytest.raises(OverloadedError, match="2 requests are waiting"):
            engine.submit(ask("suffix-write"))
        assert len({ticket.result(60).text for ticket in tickets}) == 1
        figures = engine.figures
        assert (figures["running"], figures["waiting"], figures["loaded_prompts"]) == (0, 0, 1)
        assert figures["context_hits"] == 3 * 32


def test_closing_answers_what_was_taken_or_fails_it(
    table: EmbeddingTable, prompts: dict[str, SoftPrompt]
) -> None:
    with standing_in(pause=0.1) as server:
        upstream = Upstream(server.url)
        engine = VllmEngine(table, Prompts(prompts), upstream)
        ticket = engine.submit(ask("suffix-write", max_new_tokens=3))
        engine.close(drain=True)
        assert ticket.result(0).text
        with pytest.raises(ServingError, match="shutting down"):
            engine.submit(ask("suffix-write"))
        engine = VllmEngine(table, Prompts(prompts), Upstream(server.url))
        ticket = engine.submit(ask("suffix-write", max_new_tokens=60))
        engine.close(drain=False)
        with pytest.raises(CancelledError, match="shutting down"):
            ticket.result(0)
