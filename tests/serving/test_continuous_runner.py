"""Transformers' continuous batching as the writer: the same text as the engine's own rows."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch
from serving.made import made
from tiny import tiny_backbone

from softprompt.backbones import Backbone
from softprompt.backbones.fingerprint import module_fingerprint
from softprompt.errors import CancelledError, DeadlineError, ServingError
from softprompt.inference.mixed import ReadyPrompt
from softprompt.serving import Constraint, Engine, Piece, Prompts, Request, Sampling
from softprompt.serving.bank import Bank, WithBank

TEXTS = ("late", "great coffee and friendly staff, and the parcel was not late")
PLACEMENTS = ("front", "prefix", "suffix", "both", "slots")


def prompts(backbone: Backbone) -> Prompts:
    kinds = [*((p, "input", "write") for p in PLACEMENTS), ("suffix", "kv", "write")]
    kinds += [("suffix", "deep", "write"), ("suffix", "input", "score")]
    return Prompts(
        {
            "-".join(kind): made(*kind, seed=number, backbone=backbone, readout=True)
            for number, kind in enumerate(kinds)
        }
    )


@pytest.fixture(scope="module", params=["llama", "gpt2", "gemma3"])
def engines(request: pytest.FixtureRequest) -> Iterator[tuple[Engine, Engine]]:
    backbone = tiny_backbone(request.param)
    with (
        Engine(backbone, prompts(backbone)) as own,
        Engine(backbone, prompts(backbone), texts="continuous", max_rows=8) as other,
    ):
        yield own, other


def asked(name: str | None, text: str, **settings: object) -> Request:
    return Request(prompt=name, text=text, sampling=Sampling(**settings))  # type: ignore[arg-type]


def test_every_prompt_writes_the_same_side_by_side(engines: tuple[Engine, Engine]) -> None:
    own, other = engines
    names = [*prompts(own.backbone)._versions, None]
    requests = [asked(name, text) for name in names for text in TEXTS] * 2
    wanted = [own.submit(request) for request in requests]
    found = [other.submit(request) for request in requests]
    for one, two in zip(wanted, found, strict=True):
        a, b = one.result(60), two.result(60)
        assert (a.text, a.finish, a.prompt, a.completion_tokens) == (
            b.text,
            b.finish,
            b.prompt,
            b.completion_tokens,
        )
    assert module_fingerprint(own.backbone.model) == own.backbone.identity.weights


def test_pieces_make_the_whole_answer(engines: tuple[Engine, Engine]) -> None:
    *pieces, answer = list(engines[1].submit(asked("suffix-input-write", TEXTS[1])))
    assert "".join(p.text for p in pieces if isinstance(p, Piece)) == answer.text  # type: ignore[union-attr]


def test_narrow_sampling_is_the_likeliest_text(engines: tuple[Engine, Engine]) -> None:
    own, other = engines
    likeliest = own.submit(asked("prefix-input-write", TEXTS[0])).result(60).text
    for narrow in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}):
        request = asked("prefix-input-write", TEXTS[0], **{"temperature": 1.0, **narrow})
        assert other.submit(request).result(60).text == likeliest


def test_what_the_manager_cannot_carry_is_written_by_the_rows() -> None:
    backbone = tiny_backbone()
    with Engine(backbone, prompts(backbone), texts="continuous") as engine:
        assert engine._continuous is not None
        work = engine._preparation.work
        carried = [asked("suffix-input-write", "late"), asked(None, "late", temperature=1.0)]
        others = [
            asked("suffix-kv-write", "late"),
            asked("suffix-deep-write", "late"),
            asked("suffix-input-score", "late"),
            asked("suffix-input-write", "late", stop=("x",)),
            asked("suffix-input-write", "late", seed=1),
            asked("suffix-input-write", "late", constraint=Constraint("regex", "a")),
        ]
        assert all(engine._continuous.takes(work(request)) for request in carried)
        assert not any(engine._continuous.takes(work(request)) for request in others)


def test_leaving_ends_a_request_and_frees_its_rows() -> None:
    backbone = tiny_backbone()
    engine = Engine(backbone, prompts(backbone), texts="continuous")
    assert engine._continuous is not None
    ticket = engine.submit(asked("suffix-input-write", TEXTS[0], max_new_tokens=90))
    ticket.cancel()
    with pytest.raises(CancelledError):
        ticket.result(60)
    engine.submit(asked("suffix-input-write", TEXTS[0])).result(60)
    deadline = time.monotonic() + 20
    while engine._continuous._runs and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(stay.users for stay in engine._continuous._bank._stays.values())
    engine.close(drain=True, timeout=20)
    with pytest.raises(ServingError, match="shutting down"):
        engine.submit(asked("suffix-input-write", TEXTS[0]))


def ready(backbone: Backbone, value: float, length: int = 2) -> ReadyPrompt:
    rows = torch.full((length, backbone.hidden_size), value)
    return ReadyPrompt.of(rows, "input", backbone)


def test_rows_of_the_bank_are_given_to_others_only_when_nobody_reads_them() -> None:
    backbone = tiny_backbone()
    table = backbone.embedding_table
    bank = Bank(table, most=4)
    embedding = WithBank(backbone.model.get_input_embeddings(), bank)
    one, two, three = (ready(backbone, value) for value in (1.0, 2.0, 3.0))
    first, second = bank.take(one), bank.take(two)
    assert first == len(table)
    ids = torch.tensor([[5, first, first + 1, second]])
    found = embedding(ids)[0]
    assert torch.equal(found[0], table[5])
    assert [float(row[0]) for row in found[1:]] == [1.0, 1.0, 2.0]
    # Both are in use, so the bank grows.
    third = bank.take(three)
    assert float(embedding(torch.tensor([third]))[0, 0]) == 3.0
    assert torch.equal(embedding(ids)[0], found)
    bank.leave(one)
    assert bank.take(ready(backbone, 4.0)) == first
    assert bank.take(one) not in (first, second, third)


def test_a_prompt_keeps_its_rows_while_it_is_used_again() -> None:
    backbone = tiny_backbone()
    bank = Bank(backbone.embedding_table, most=2)
    one = ready(backbone, 1.0)
    place = bank.take(one)
    bank.leave(one)
    assert bank.take(one) == place


def test_a_request_larger_than_the_cache_is_written_by_the_rows() -> None:
    backbone = tiny_backbone()
    with Engine(backbone, prompts(backbone), texts="continuous", max_rows=1) as engine:
        assert engine._continuous is not None
        engine._continuous._positions = 40
        work = engine._preparation.work
        assert not engine._continuous.takes(work(asked(None, TEXTS[1])))
        assert engine._continuous.takes(work(asked(None, "late", max_new_tokens=4)))
        assert engine.submit(asked(None, TEXTS[1])).result(60).completion_tokens


def test_a_manager_that_has_failed_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone()
    with Engine(backbone, prompts(backbone), texts="continuous") as engine:
        wanted = engine.submit(asked("suffix-input-write", TEXTS[0])).result(60)
        assert engine._continuous is not None
        (manager,) = engine._continuous._managers.values()

        def broken(*_: object) -> None:
            raise RuntimeError("out of memory")

        monkeypatch.setattr(manager.batch_processor, "prepare_next_batch", broken)
        with pytest.raises(ServingError):
            engine.submit(asked("suffix-input-write", TEXTS[0])).result(60)
        deadline = time.monotonic() + 20
        while manager.is_running() and time.monotonic() < deadline:
            time.sleep(0.01)
        again = engine.submit(asked("suffix-input-write", TEXTS[0])).result(60)
        assert again.text == wanted.text


def test_a_deadline_holds_while_others_are_written() -> None:
    backbone = tiny_backbone()
    with Engine(backbone, prompts(backbone), texts="continuous", max_rows=1) as engine:
        long = [engine.submit(asked(None, "late", max_new_tokens=100)) for _ in range(4)]
        ticket = engine.submit(Request(prompt=None, text="late", deadline=0.01))
        with pytest.raises(DeadlineError):
            ticket.result(60)
        assert any(other.finished is None for other in long)
        assert all(other.result(60).text is not None for other in long)
