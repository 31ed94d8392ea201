"""The engine: any prompts side by side, each answered as if it were alone."""

from __future__ import annotations

import contextlib
import gc
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations_with_replacement

import pytest
import torch
from serving.made import KINDS, made
from tiny import (
    tiny_backbone,
    tiny_encoder,
    tiny_encoder_decoder,
    tiny_model,
    tiny_tokenizer,
)

from softprompt import Predictor
from softprompt.backbones import Backbone
from softprompt.errors import (
    ArtifactError,
    BackboneError,
    CancelledError,
    DataError,
    DeadlineError,
    OverloadedError,
    ServingError,
    UnknownPromptError,
    UsageError,
)
from softprompt.prompts import SoftPrompt
from softprompt.prompts.readout import Readout
from softprompt.serving import (
    Answer,
    Constraint,
    Engine,
    Piece,
    Prompts,
    Request,
    Sampling,
    Version,
)

TEXTS = (
    "great coffee and friendly staff, and the parcel was not late at all this time",
    "late",
    "giao hàng nhanh, đóng gói cẩn thận",
)
MESSAGE = {"role": "user", "content": "late"}
NAMES = {
    "-".join(kind): made(*kind, seed=number, readout=True) for number, kind in enumerate(KINDS)
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(tiny_backbone(), Prompts(NAMES)) as engine:
        yield engine


def alone(name: str | None, text: str) -> Answer:
    """The answer of an engine that has nothing else to do."""
    with Engine(tiny_backbone(), Prompts(NAMES), context_bytes=0) as engine:
        return engine.submit(request(name, text)).result(60)


def request(name: str | None, text: str, **settings: object) -> Request:
    return Request(prompt=name, text=text, sampling=Sampling(**settings))  # type: ignore[arg-type]


def same(one: Answer, other: Answer) -> None:
    assert (one.text, one.finish, one.prompt) == (other.text, other.finish, other.prompt)
    assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
    assert one.completion_tokens == other.completion_tokens


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_is_that_of_the_predictor(engine: Engine, name: str) -> None:
    predictor = Predictor(NAMES[name], tiny_backbone())
    for text, prediction in zip(TEXTS, predictor.predict(TEXTS), strict=True):
        answer = engine.submit(request(name, text)).result(60)
        assert answer.text == prediction.answer
        assert answer.probabilities == pytest.approx(prediction.probabilities, abs=1e-5)
        assert answer.prompt == f"{name}@1"


PAIRS = [
    pair
    for pair in combinations_with_replacement([*NAMES, None], 2)
    if None in pair or pair[0].split("-")[2] == "write" or pair[0] == pair[1]  # type: ignore[union-attr]
]


@pytest.fixture(scope="module")
def alones() -> dict[tuple[str | None, str], Answer]:
    return {(name, text): alone(name, text) for name in [*NAMES, None] for text in TEXTS[:2]}


def test_every_pair_of_prompts_is_answered_as_if_alone(
    alones: dict[tuple[str | None, str], Answer],
) -> None:
    with Engine(tiny_backbone(), Prompts(NAMES)) as engine:
        for pair in PAIRS:
            asked = [(name, text) for name in pair for text in TEXTS[:2]]
            tickets = engine.submit_together([request(*one) for one in asked])
            for one, ticket in zip(asked, tickets, strict=True):
                same(ticket.result(60), alones[one])


def test_a_crowd_is_answered_as_if_alone(
    engine: Engine, alones: dict[tuple[str | None, str], Answer]
) -> None:
    asked = [one for _ in range(3) for one in alones]
    tickets = [engine.submit(request(*one)) for one in asked]
    for one, ticket in zip(asked, tickets, strict=True):
        same(ticket.result(120), alones[one])


def test_an_ensemble_answers_with_the_mean_of_its_members() -> None:
    prompts = {
        f"{depth}{count}": made("suffix", depth, members=count, readout=True)
        for depth in ("input", "kv")
        for count in (1, 2, 4)
    }
    with Engine(tiny_backbone(), Prompts(prompts)) as engine:
        tickets = {name: engine.submit(request(name, TEXTS[0])) for name in prompts}
        for name, ticket in tickets.items():
            (wanted,) = Predictor(prompts[name], tiny_backbone()).predict([TEXTS[0]])
            assert ticket.result(60).probabilities == pytest.approx(wanted.probabilities, abs=1e-5)


def test_tasks_about_one_text_share_what_is_before_them() -> None:
    names = [name for name in NAMES if name.startswith("suffix") and name.endswith("score")]
    with Engine(tiny_backbone(), Prompts(NAMES)) as engine:
        together = [
            ticket.result(60)
            for ticket in engine.submit_together([request(n, TEXTS[0]) for n in names])
        ]
        # One pays for all.
        cached = sorted(answer.cached_tokens for answer in together)
        assert cached[0] == 0
        assert 32 <= cached[1] == cached[2] <= engine.figures["context_misses"]
        # What their readouts read beyond it is a token or two.
        assert engine.figures["context_misses"] - cached[1] <= 2
        for name, answer in zip(names, together, strict=True):
            same(answer, alone(name, TEXTS[0]))
        again = engine.submit(request(names[0], TEXTS[0])).result(60)
        assert again.cached_tokens >= 32
        same(again, together[0])
        assert engine.figures["context_hits"] >= 32


def test_texts_about_one_text_share_it_too() -> None:
    names = [name for name in NAMES if name.startswith("suffix") and name.endswith("write")]
    with Engine(tiny_backbone(), Prompts(NAMES)) as engine:
        asked = [request(name, TEXTS[0]) for name in names]
        answers = [ticket.result(60) for ticket in engine.submit_together(asked)]
        assert sorted(answer.cached_tokens >= 32 for answer in answers) == [False, True, True]
        for name, answer in zip(names, answers, strict=True):
            same(answer, alone(name, TEXTS[0]))


@pytest.mark.parametrize("kind", ["score", "write"])
@pytest.mark.parametrize("depth", ["input", "deep"])
@pytest.mark.parametrize("placement", ["front", "prefix"])
def test_a_prompt_before_the_text_is_computed_once(placement: str, depth: str, kind: str) -> None:
    name = f"{placement}-{depth}-{kind}"
    length = NAMES[name].length
    with Engine(tiny_backbone(), Prompts(NAMES)) as engine:
        for number, text in enumerate((*TEXTS, TEXTS[0])):
            answer = engine.submit(request(name, text)).result(60)
            # What is scored leaves nothing behind: its prompt is computed when it comes again.
            if number > (1 if kind == "score" else 0):
                assert answer.cached_tokens == length + (placement == "prefix")
            same(answer, alone(name, text))


def test_prompts_before_the_text_keep_to_their_budget() -> None:
    names = [name for name in NAMES if name.startswith("prefix-input")]
    with Engine(tiny_backbone(), Prompts(NAMES), context_bytes=1_700) as engine:
        for name in names * 2:
            engine.submit(request(name, TEXTS[1])).result(60)
        beginnings = engine._batches._scorer._beginnings
        assert len(beginnings._leads) == 1
        assert 0 < beginnings._bytes <= 1_700


def test_pieces_make_the_whole_answer(engine: Engine) -> None:
    for name in ("suffix-input-write", "prefix-deep-write", "suffix-kv-write"):
        *pieces, answer = list(engine.submit(request(name, TEXTS[2], max_new_tokens=20)))
        assert isinstance(answer, Answer)
        assert all(isinstance(piece, Piece) for piece in pieces)
        assert "".join(piece.text for piece in pieces) == answer.text  # type: ignore[union-attr]
        assert sum(p.tokens for p in pieces) <= answer.completion_tokens  # type: ignore[union-attr]


def test_a_stop_text_ends_the_answer_and_is_not_in_it(engine: Engine) -> None:
    whole = engine.submit(request("suffix-input-write", TEXTS[1])).result(60)
    stop = whole.text[3:5]
    assert len(stop) == 2
    cut = engine.submit(request("suffix-input-write", TEXTS[1], stop=(stop,)))
    *pieces, answer = list(cut)
    assert isinstance(answer, Answer)
    assert answer.text == whole.text[: whole.text.index(stop)].rstrip()
    assert answer.finish == "stop"
    assert "".join(piece.text for piece in pieces) == answer.text  # type: ignore[union-attr]


def test_a_seed_decides_what_is_sampled_in_any_company(engine: Engine) -> None:
    hot = {"temperature": 1.5, "max_new_tokens": 12}
    first = engine.submit(request("prefix-input-write", TEXTS[0], seed=1, **hot)).result(60)
    tickets = [
        engine.submit(request("prefix-input-write", TEXTS[0], seed=seed % 3, **hot))
        for seed in range(9)
    ]
    texts = [ticket.result(60).text for ticket in tickets]
    assert texts[1] == texts[4] == texts[7] == first.text
    assert len(set(texts)) == 3
    narrow = [
        engine.submit(request("prefix-input-write", TEXTS[0], seed=seed, **hot, **limit)).result(60)
        for seed, limit in enumerate(({"top_k": 1}, {"top_p": 1e-6}))
    ]
    greedy = engine.submit(request("prefix-input-write", TEXTS[0], max_new_tokens=12)).result(60)
    assert {answer.text for answer in narrow} == {greedy.text}


@pytest.mark.parametrize("name", ["suffix-input-write", "front-kv-write", None])
def test_constraints_are_kept(engine: Engine, name: str | None) -> None:
    schema = {
        "type": "object",
        "properties": {"stars": {"enum": [1, 2, 3]}},
        "required": ["stars"],
        "additionalProperties": False,
    }
    forms = (
        (Constraint("choice", ("tốt", "xấu (lắm)")), {"tốt", "xấu (lắm)"}),
        (Constraint("regex", "[ab]{2}"), {"aa", "ab", "ba", "bb"}),
        (Constraint("json", schema), {f'{{"stars": {n}}}' for n in (1, 2, 3)}),
    )
    for constraint, allowed in forms:
        asked = request(name, TEXTS[1], constraint=constraint, max_new_tokens=40)
        answer = engine.submit(asked).result(60)
        assert answer.text.strip() in allowed
        assert answer.finish == "stop"


def test_a_request_brings_its_own_words_around_the_prompt(engine: Engine) -> None:
    asked = Request(prompt="suffix-input-score", text="late", template="Say: {text}! {answer}")
    changed = NAMES["suffix-input-score"].with_template("Say: {text}! {answer}")
    (wanted,) = Predictor(changed, tiny_backbone()).predict(["late"])
    answer = engine.submit(asked).result(60)
    assert answer.probabilities == pytest.approx(wanted.probabilities, abs=1e-5)
    other = engine.submit(request("suffix-input-score", "late")).result(60)
    assert answer.probabilities != pytest.approx(other.probabilities, abs=1e-5)


def test_an_adjustment_is_for_the_labels_of_the_task() -> None:
    prompt = made("suffix", "input", readout=True)
    labels = prompt.task.labels
    prompts = {
        label: replace(
            prompt,
            task=replace(prompt.task, adjustment=tuple(99.0 * (x == label) for x in labels)),
        )
        for label in labels
    }
    with Engine(tiny_backbone(), Prompts(prompts)) as engine:
        for label in labels:
            assert engine.submit(request(label, "late")).result(60).text == label
            # Of other choices the likeliest is given.
            others = Request(prompt=label, text="late", choices=labels[:2])
            answer = engine.submit(others).result(60)
            assert answer.probabilities[answer.text] == max(answer.probabilities.values())


def test_choices_of_a_request_are_scored_by_prompts_and_by_the_bare_model(engine: Engine) -> None:
    for name in ("suffix-input-write", None):
        asked = Request(
            prompt=name, text="late", choices=("up", "down"), template="{text} {answer}"
        )
        answer = engine.submit(asked).result(60)
        assert set(answer.probabilities) == {"up", "down"}
        assert sum(answer.probabilities.values()) == pytest.approx(1)
    # Nothing taught the bare model to end an answer there, so the end token says nothing of it.
    backbone, scores = tiny_backbone(), []
    context = [backbone.bos, *backbone.encode("late")]
    for word in (" up", " down"):
        ids = backbone.encode(word)
        with torch.no_grad():
            logits = backbone.model(torch.tensor([[*context, *ids]])).logits[0].log_softmax(-1)
        places = range(len(context) - 1, len(context) + len(ids) - 1)
        scores.append(sum(logits[n, i] for n, i in zip(places, ids, strict=True)))
    wanted = torch.stack(scores).softmax(0).tolist()
    assert list(answer.probabilities.values()) == pytest.approx(wanted, rel=1e-3)


def test_a_new_version_answers_new_requests_and_running_ones_keep_theirs() -> None:
    source = Prompts({"p": made("suffix", "input", "write", seed=1)})
    with Engine(tiny_backbone(), source) as engine:
        old = engine.submit(request("p", TEXTS[0], max_new_tokens=60))
        source.put("p", made("suffix", "input", "write", seed=2))
        new = engine.submit(request("p", TEXTS[0], max_new_tokens=60))
        assert old.result(60).prompt == "p@1"
        assert new.result(60).prompt == "p@2"
        assert engine.submit(request("p@1", TEXTS[0], max_new_tokens=60)).result(60).text == (
            old.result().text
        )
        source.remove("p")
        with pytest.raises(UnknownPromptError, match="There is no prompt 'p'"):
            engine.submit(request("p", "late"))


@pytest.mark.parametrize(
    ("asked", "kind", "message"),
    [
        (Request(prompt="nothing", text="a"), UnknownPromptError, "There is no prompt 'nothing'"),
        (Request(prompt="suffix-input-score@9", text="a"), UnknownPromptError, "@9"),
        (Request(prompt="suffix-input-score", text=" "), DataError, "empty"),
        (Request(prompt="suffix-input-score", text={"txt": "a"}), DataError, "empty"),
        (Request(prompt="suffix-input-score", text="word " * 200), DataError, "the window"),
        (Request(prompt="suffix-input-score", text=[]), DataError, "no messages"),
        (
            Request(prompt=None, text=[{"role": "user", "content": "a"}]),
            UsageError,
            "chat template",
        ),
        (Request(prompt=None, text={"text": "a"}), UsageError, "one text"),
        (Request(prompt=None, text="half \ud800"), DataError, "half a character"),
        (Request(prompt="suffix-input-score", text=[{"role": "user"}]), DataError, "the keys"),
        (
            Request(prompt="suffix-input-write", text="a", template="{prompt:9}{text}{answer}"),
            UsageError,
            "slots",
        ),
        (
            Request(
                prompt="suffix-input-write",
                text="a",
                sampling=Sampling(constraint=Constraint("regex", "([")),
            ),
            UsageError,
            "cannot be followed",
        ),
    ],
)
def test_what_cannot_be_answered_is_refused_at_once(
    engine: Engine, asked: Request, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        engine.submit(asked)


def test_a_prompt_of_another_backbone_is_refused() -> None:
    foreign = made(backbone=tiny_backbone("qwen3"))
    with (
        Engine(tiny_backbone(), Prompts({"p": foreign})) as engine,
        pytest.raises(ArtifactError, match="belongs to"),
    ):
        engine.submit(request("p", "late"))


def test_models_that_are_no_decoders_are_refused() -> None:
    for backbone in (tiny_encoder_decoder(), tiny_encoder()):
        with pytest.raises(BackboneError, match="another kind of model"):
            Engine(backbone, Prompts(NAMES))  # type: ignore[arg-type]


def test_nobody_is_answered_after_leaving_or_after_the_deadline(engine: Engine) -> None:
    left = engine.submit(request("suffix-input-write", TEXTS[0], max_new_tokens=70))
    left.cancel()
    with pytest.raises(CancelledError):
        left.result(60)
    late = engine.submit(Request(prompt=None, text="late", deadline=0.0))
    with pytest.raises(DeadlineError, match="not whole after 0 s"):
        late.result(60)
    assert engine.submit(request(None, "late")).result(60).text is not None


def test_too_many_are_refused_and_the_others_are_answered() -> None:
    with Engine(tiny_backbone(), Prompts(NAMES), max_waiting=4, max_rows=2) as engine:
        tickets, refused = [], 0
        for _ in range(40):
            try:
                tickets.append(engine.submit(request("suffix-input-write", TEXTS[0])))
            except OverloadedError as error:
                refused += 1
                assert error.retry_after > 0
        assert refused and tickets
        assert len({ticket.result(60).text for ticket in tickets}) == 1


def test_closing_answers_what_was_taken_or_fails_it() -> None:
    engine = Engine(tiny_backbone(), Prompts(NAMES))
    tickets = [engine.submit(request("suffix-input-write", text)) for text in TEXTS]
    engine.close(drain=True)
    assert all(ticket.result(0).text is not None for ticket in tickets)
    with pytest.raises(ServingError, match="shutting down"):
        engine.submit(request(None, "late"))
    engine = Engine(tiny_backbone(), Prompts(NAMES))
    asked = [request("suffix-input-write", TEXTS[0], max_new_tokens=70) for _ in range(200)]
    tickets = [engine.submit(one) for one in asked]
    engine.close(drain=False)
    failed = 0
    for ticket in tickets:
        try:
            ticket.result(0)
        except CancelledError:
            failed += 1
    assert failed


def test_one_request_cannot_harm_its_neighbours(engine: Engine) -> None:
    name, many = "prefix-input-write", 40
    wanted = alone("prefix-input-write", TEXTS[0])
    nested: dict[str, object] = {"type": "string"}
    for _ in range(3000):
        nested = {"type": "array", "items": nested}
    slow = Constraint("regex", "(.{0,500}x){0,500}")
    bad = [
        request(None, TEXTS[0], temperature=1e-320, max_new_tokens=many),
        request(None, TEXTS[0], temperature=3.0, seed=1, constraint=slow, max_new_tokens=many),
        request(None, TEXTS[0], constraint=Constraint("regex", "a[^\\x00-\U0010ffff]")),
    ]
    with pytest.raises(UsageError, match="cannot be followed"):
        engine.submit(request(None, "late", constraint=Constraint("json", nested)))
    for harm in bad:
        first = engine.submit(request(name, TEXTS[0]))
        try:
            ticket = engine.submit(harm)
            with contextlib.suppress(UsageError, ServingError):
                ticket.result(60)
        except UsageError:
            pass
        same(first.result(60), wanted)
    assert engine.alive


def test_a_prompt_whose_numbers_overflow_fails_alone() -> None:
    huge = made("suffix", "kv", "write")
    huge = replace(huge, tensors={n: x.sign() * 3e38 for n, x in huge.tensors.items()})
    with Engine(tiny_backbone(), Prompts({**NAMES, "huge": huge})) as engine:
        asked = [request(n, TEXTS[0]) for n in ("huge", "suffix-input-write", "suffix-kv-write")]
        bad, *good = engine.submit_together(asked)
        for name, ticket in zip(("suffix-input-write", "suffix-kv-write"), good, strict=True):
            same(ticket.result(60), alone(name, TEXTS[0]))
        with pytest.raises(ServingError, match="overflow"):
            bad.result(60)


def test_a_readout_whose_numbers_overflow_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    huge = made("suffix", readout=True)
    monkeypatch.setattr(Readout, "logits", lambda *args: torch.full((1, 3), float("inf")))
    with Engine(tiny_backbone(), Prompts({"huge": huge, "fine": made("suffix")})) as engine:
        bad, good = engine.submit_together([request(name, TEXTS[0]) for name in ("huge", "fine")])
        with pytest.raises(ServingError, match="overflow"):
            bad.result(60)
        assert good.result(60).text


def test_a_listener_that_fails_harms_nobody(engine: Engine) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("the loop is closed")

    ticket = engine.submit(request("suffix-input-write", TEXTS[0]))
    with contextlib.suppress(RuntimeError):
        ticket.listen(broken)
    assert engine.submit(request("suffix-input-write", TEXTS[0])).result(60).text
    assert ticket.result(60).text


def test_a_long_text_begins_while_short_ones_keep_coming() -> None:
    with Engine(tiny_backbone(), Prompts(NAMES), max_rows=4) as engine:
        engine._batches._cells = 150
        short = [engine.submit(request("suffix-input-write", "late")) for _ in range(6)]
        long = engine.submit(request("suffix-input-write", TEXTS[0], max_new_tokens=60))
        later = [engine.submit(request("suffix-input-write", "late")) for _ in range(6)]
        long.result(60)
        assert all(ticket.finished for ticket in short)
        assert long.started is not None
        assert all(t.result(60) and t.started and t.started >= long.started for t in later)


def test_the_same_content_under_two_names_answers_by_each() -> None:
    class Same(Prompts):
        def resolve(self, name: str) -> Version:
            return replace(super().resolve(name), key="the same")

        def load(self, version: Version) -> SoftPrompt:
            return made(seed=1)

    with Engine(tiny_backbone(), Same({"a": made(seed=1), "b": made(seed=1)})) as engine:
        for name in ("a", "b"):
            assert engine.submit(request(name, "late")).result(60).prompt == f"{name}@1"


def test_a_prompt_under_an_old_name_is_not_the_old_one() -> None:
    source = Prompts({"p": made(seed=1)})
    with Engine(tiny_backbone(), source) as engine:
        old = engine.submit(request("p", TEXTS[0])).result(60)
        source.remove("p")
        source.put("p", made(seed=2))
        new = engine.submit(request("p", TEXTS[0])).result(60)
        (wanted,) = Predictor(made(seed=2), tiny_backbone()).predict([TEXTS[0]])
        assert new.probabilities == pytest.approx(wanted.probabilities, abs=1e-5)
        assert new.probabilities != pytest.approx(old.probabilities, abs=1e-4)


def test_an_engine_leaves_nothing_behind() -> None:
    backbone = Backbone(tiny_model("llama"), tiny_tokenizer())
    prompts = Prompts({"p": made(backbone=backbone)})
    engine = Engine(backbone, prompts)
    engine.submit(Request(prompt="p", text="late", template="{text}! {answer}")).result(60)
    engine.submit(request(None, TEXTS[0])).result(60)
    block = engine._batches._writer._batch._cache
    engine.close()
    assert not block._parts
    gone = weakref.ref(backbone)
    del backbone, engine, block
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"choices": ("a", "a", "b")}, "different texts"),
        ({"choices": ()}, "different texts"),
        ({"choices": ("a",)}, "different texts"),
    ],
)
def test_choices_are_different_texts(settings: dict[str, tuple[str, ...]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Request(prompt=None, text="late", **settings)  # type: ignore[arg-type]


def test_a_failing_pass_fails_its_requests_and_no_others(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(engine._batches._scorer, "score", broken)
        with pytest.raises(ServingError, match="failed at this request"):
            engine.submit(request("suffix-input-score", "late")).result(60)
        assert engine.submit(request("suffix-input-write", "late")).result(60).text
    assert engine.submit(request("suffix-input-score", "late")).result(60).text


def test_the_pool_keeps_to_its_budget() -> None:
    with Engine(tiny_backbone(), Prompts(NAMES), context_bytes=60_000) as engine:
        for number in range(12):
            text = f"number {number} " + TEXTS[0]
            engine.submit(request("suffix-input-score", text)).result(60)
            assert engine._pool._bytes <= 60_000
        assert engine._pool._entries
        assert len(engine._pool._blocks) <= sum(
            len(tokens) // 16 for tokens in engine._pool._entries
        )


def test_an_event_loop_reads_pieces_and_leaving_cancels(engine: Engine) -> None:
    import asyncio

    async def read() -> str:
        ticket = engine.submit(request("suffix-input-write", TEXTS[0]))
        return "".join([event.text async for event in ticket if isinstance(event, Piece)])

    async def leave() -> None:
        ticket = engine.submit(request("suffix-input-write", TEXTS[0], max_new_tokens=70))
        async for _ in ticket:
            break
        deadline = time.monotonic() + 60
        while ticket.finished is None and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        with pytest.raises(CancelledError):
            ticket.result(0)

    assert asyncio.run(read()) == alone("suffix-input-write", TEXTS[0]).text
    asyncio.run(leave())


def test_frozen_weights_stay_as_they_are(engine: Engine) -> None:
    from softprompt.backbones.fingerprint import module_fingerprint

    backbone = tiny_backbone()
    assert module_fingerprint(backbone.model) == backbone.identity.weights
    assert not any(parameter.requires_grad for parameter in backbone.model.parameters())
    assert torch.is_grad_enabled()
