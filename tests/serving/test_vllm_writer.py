"""What a vLLM server writes: pieces, stop texts, constraints, and what it says of its cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from serving.http.running import eventually
from serving.made import made
from serving.vllm_stand_in import StandIn, standing_in
from tiny import save_tiny, tiny_backbone

from softprompt.errors import ServingError
from softprompt.prompts import SoftPrompt
from softprompt.serving import Answer, Constraint, Engine, Piece, Prompts, Request, Sampling
from softprompt.serving.vllm_engine import VllmEngine
from softprompt.serving.vllm_table import EmbeddingTable, load_embedding_table
from softprompt.serving.vllm_upstream import Upstream

TEXTS = ("late", "giao hàng nhanh, đóng gói cẩn thận")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingTable:
    return load_embedding_table(str(save_tiny(tmp_path_factory.mktemp("tiny"))))


@pytest.fixture(scope="module")
def prompts() -> dict[str, SoftPrompt]:
    return {
        f"{placement}-write": made(placement, kind="write", seed=seed)
        for placement, seed in (("prefix", 3), ("suffix", 5))
    }


@contextmanager
def gateway(
    table: EmbeddingTable, prompts: dict[str, SoftPrompt], server: StandIn
) -> Iterator[VllmEngine]:
    with VllmEngine(table, Prompts(prompts), Upstream(server.url)) as engine:
        yield engine


@pytest.fixture(scope="module")
def engine(table: EmbeddingTable, prompts: dict[str, SoftPrompt]) -> Iterator[VllmEngine]:
    with standing_in() as server, gateway(table, prompts, server) as engine:
        yield engine


@pytest.fixture(scope="module")
def own(prompts: dict[str, SoftPrompt]) -> Iterator[Engine]:
    with Engine(tiny_backbone(), Prompts(prompts)) as engine:
        yield engine


def ask(name: str, text: str = TEXTS[1], **settings: Any) -> Request:
    return Request(prompt=name, text=text, sampling=Sampling(**settings))


def ask_bare(**settings: Any) -> Request:
    """A request whose answer opens with white space, which is none of it."""
    text, sampling = "parcel 325", Sampling(**settings)
    return Request(prompt=None, text=text, template="{text} {answer}", sampling=sampling)


def test_pieces_make_the_whole_answer(engine: VllmEngine) -> None:
    *pieces, answer = list(engine.submit(ask("prefix-write", max_new_tokens=12)))
    assert isinstance(answer, Answer) and len(pieces) > 1
    assert all(isinstance(piece, Piece) for piece in pieces)
    assert "".join(piece.text for piece in pieces) == answer.text  # type: ignore[union-attr]
    assert 0 < sum(p.tokens for p in pieces) <= answer.completion_tokens  # type: ignore[union-attr]


def test_a_stop_text_ends_the_answer(engine: VllmEngine, own: Engine) -> None:
    whole = engine.submit(ask("suffix-write", TEXTS[0])).result(60).text
    asked = ask("suffix-write", TEXTS[0], stop=(whole[3:5],))
    theirs, ours = engine.submit(asked).result(60), own.submit(asked).result(60)
    assert (theirs.text, theirs.finish) == (ours.text, "stop")


def test_white_space_that_opens_an_answer_meets_no_stop_text(
    engine: VllmEngine, own: Engine
) -> None:
    bare = Request(prompt=None, text="parcel 325", sampling=Sampling(max_new_tokens=10))
    assert own.submit(bare).result(60).text.startswith(" p")
    for stop in ((" ",), (" p",), (" ", "6"), ("6", "\n")):
        asked = ask_bare(max_new_tokens=10, stop=stop)
        *pieces, theirs = list(engine.submit(asked))
        ours = own.submit(asked).result(60)
        assert isinstance(theirs, Answer) and theirs.text.startswith("p")
        assert (theirs.text, theirs.finish) == (ours.text, ours.finish)
        assert theirs.completion_tokens == ours.completion_tokens
        assert "".join(piece.text for piece in pieces) == theirs.text  # type: ignore[union-attr]


def test_a_stop_text_that_opens_with_white_space_ends_the_answer_and_the_servers_work(
    table: EmbeddingTable, prompts: dict[str, SoftPrompt]
) -> None:
    with standing_in(pause=0.02) as server, gateway(table, prompts, server) as engine:

        def answer(*stop: str) -> Answer:
            return engine.submit(ask_bare(max_new_tokens=60, stop=stop)).result(60)

        whole = answer().text
        stop = next(part for n in range(1, len(whole)) if (part := whole[n : n + 2])[0].isspace())
        ended = answer(stop)
        assert (ended.text, ended.finish) == (whole[: whole.index(stop)].rstrip(), "stop")
        assert eventually(lambda: server.left == 1)


@pytest.mark.parametrize(("version", "guided"), [("0.32.0", False), ("0.10.2", True)])
def test_constraints_are_passed_on_under_the_name_that_the_server_knows(
    table: EmbeddingTable, prompts: dict[str, SoftPrompt], version: str, guided: bool
) -> None:
    schema = {"type": "object", "properties": {}}
    with standing_in(version=version) as server, gateway(table, prompts, server) as engine:
        for kind, value in (("choice", ("up", "down")), ("regex", "[ab]+"), ("json", schema)):
            asked = ask("suffix-write", constraint=Constraint(kind, value))  # type: ignore[arg-type]
            engine.submit(asked).result(60)
        wanted = {
            "choice": ["up", "down", " up", " down"],
            "regex": "[ \\n]?([ab]+)",
            "json": schema,
        }
        for body, (kind, value) in zip(server.sent, wanted.items(), strict=True):
            sent = body[f"guided_{kind}"] if guided else body["structured_outputs"][kind]
            assert sent == value


def test_a_server_that_passes_over_a_constraint_is_found_out(
    table: EmbeddingTable, prompts: dict[str, SoftPrompt]
) -> None:
    with (
        standing_in(ignores=("structured_outputs",)) as server,
        gateway(table, prompts, server) as engine,
    ):
        asked = ask("suffix-write", constraint=Constraint("choice", ("up", "down")))
        with pytest.raises(ServingError, match="did not keep to the choices"):
            engine.submit(asked).result(60)


def test_a_choice_may_be_cut_off_by_a_stop_text(engine: VllmEngine) -> None:
    choices = Constraint("choice", ("up there", "over there"))
    answer = engine.submit(ask("suffix-write", constraint=choices, stop=("there",))).result(60)
    assert (answer.text, answer.finish) == ("over", "stop")


@pytest.mark.parametrize("cached", [None, 0, 7])
def test_what_the_server_had_not_in_its_cache_counts_where_it_tells(
    table: EmbeddingTable, prompts: dict[str, SoftPrompt], cached: int | None
) -> None:
    with standing_in(cached=cached) as server, gateway(table, prompts, server) as engine:
        tokens = engine.submit(ask("suffix-write", max_new_tokens=2)).result(60).prompt_tokens
        hits, misses = engine.figures["context_hits"], engine.figures["context_misses"]
    assert (hits, misses) == ((0, 0) if cached is None else (cached, tokens - cached))
