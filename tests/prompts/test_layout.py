"""Placements, segments, end tokens, windows: what the model reads, token by token."""

from __future__ import annotations

import pytest
from tiny import tiny_backbone

from softprompt.errors import UsageError
from softprompt.inference import encode_rows
from softprompt.prompts import Layout, TooLongError
from softprompt.prompts.placements import PLACEMENTS
from softprompt.tasks import Row, Task, Template

TEMPLATE = Template("{text}\nSentiment: {answer}")


def test_segments_are_tokenised_apart_and_alike_for_every_placement() -> None:
    backbone = tiny_backbone()
    rendered = TEMPLATE.render({"text": "great coffee"})
    body = backbone.encode("great coffee\nSentiment:")
    marks = [-1, -2]
    want = {
        "suffix": [backbone.bos, *body, *marks],
        "prefix": [backbone.bos, *marks, *body],
        "front": [*marks, backbone.bos, *body],
        "both": [backbone.bos, -1, *body, -2],
    }
    for placement, ids in want.items():
        example = Layout(backbone, placement, 2).example(rendered, ["positive"])
        assert [*example.context, *example.trunk] == ids
        assert example.answers == ((*backbone.encode(" positive"), backbone.eos),)
        assert all(i >= 0 for i in example.context)


def test_every_placement_is_registered_by_its_file() -> None:
    assert PLACEMENTS.names() == ["both", "front", "prefix", "slots", "suffix"]


def test_without_a_prompt_the_last_token_is_the_trunk() -> None:
    rendered = TEMPLATE.render({"text": "great coffee"})
    example = Layout(tiny_backbone(), None).example(rendered, ["positive"])
    assert len(example.trunk) == 1
    assert example.trunk[0] >= 0


def test_choices_are_read_until_they_differ() -> None:
    backbone = tiny_backbone()
    rendered = TEMPLATE.render({"text": "great coffee"})
    wordings = ["positive", "positively", "negative"]
    whole = Layout(backbone, "suffix", 2).example(rendered, wordings).answers
    cut = Layout(backbone, "suffix", 2, scoring="distinct")
    answers = cut.example(rendered, wordings).answers
    assert all(long[: len(short)] == short for long, short in zip(whole, answers, strict=True))
    for place, short in enumerate(answers):
        others = [long for number, long in enumerate(whole) if number != place]
        assert all(other[: len(short)] != short for other in others)
        # One token fewer would not tell.
        assert any(other[: len(short) - 1] == short[:-1] for other in others)
    assert cut.example(rendered, wordings[:1]).answers == whole[:1]
    assert cut.example(rendered, ["a", "a", "b"]).answers[:2] == (cut.answer(" a"),) * 2


def test_what_nothing_was_taught_to_end_is_read_without_the_end() -> None:
    backbone = tiny_backbone()
    rendered = TEMPLATE.render({"text": "great coffee"})
    wordings = ["positive", "positively", "negative", "negative"]
    whole = Layout(backbone, None).example(rendered, wordings).answers
    read = Layout(backbone, None, scoring="wording").example(rendered, wordings).answers
    assert whole[1][: len(whole[0]) - 1] == whole[0][:-1], "the first begins the second"
    # The end is all that tells an answer from one that goes on from it.
    assert read == (whole[0], whole[1][:-1], *whole[2:])
    alone = Layout(backbone, None, scoring="wording").example(rendered, wordings[:1]).answers
    assert alone == whole[:1]


def test_slots_stand_where_the_template_says() -> None:
    backbone = tiny_backbone()
    rendered = Template("A {prompt:2}{text}: {prompt:1} {answer}").render({"text": "x"})
    example = Layout(backbone, "slots", 3).example(rendered, ["y"])
    ids = [*example.context, *example.trunk]
    first = len(backbone.encode("A ")) + 1
    assert ids[first : first + 2] == [-1, -2]
    assert ids[-1] == -3
    assert example.answers[0][: len(backbone.encode(" y"))] == tuple(backbone.encode(" y"))


def test_slots_and_another_placement_exclude_each_other() -> None:
    rendered = Template("{prompt:2}{text} {answer}").render({"text": "x"})
    with pytest.raises(UsageError, match="and the placement is 'suffix'"):
        Layout(tiny_backbone(), "suffix", 2).example(rendered, ["y"])
    with pytest.raises(UsageError, match="needs a template with at least one"):
        Layout(tiny_backbone(), "slots", 2).example(TEMPLATE.render({"text": "x"}), ["y"])


def test_a_text_longer_than_the_window_is_refused_with_its_place() -> None:
    rendered = TEMPLATE.render({"text": "long " * 200})
    with pytest.raises(TooLongError, match=r"a.csv: row 3 takes \d+ tokens; .* 128") as raised:
        Layout(tiny_backbone(), "suffix", 2).example(rendered, ["y"], "a.csv: row 3")
    assert "--drop-long" in raised.value.hint and "--length" not in raised.value.hint


def test_a_prompt_that_leaves_a_text_no_room_is_named() -> None:
    rendered = TEMPLATE.render({"text": "great coffee"})
    # Neither shorter texts nor fewer rows would help.
    for vectors in (128, 500):
        with pytest.raises(UsageError, match=rf"{vectors} vectors; .* 128") as filled:
            Layout(tiny_backbone(), "suffix", vectors).example(rendered, ["y"])
        assert "--length" in filled.value.hint
    with pytest.raises(TooLongError) as raised:
        Layout(tiny_backbone(), "suffix", 126).example(rendered, ["y"])
    assert "--length" in raised.value.hint and "--drop-long" in raised.value.hint


def test_a_chat_template_that_writes_bos_does_not_write_it_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backbone = tiny_backbone()
    chat = "<s>[user] {{ messages[0]['content'] }} [assistant]"
    monkeypatch.setattr(backbone.tokenizer, "chat_template", chat)
    rendered = TEMPLATE.render({"text": "ok"}, backbone.chat)
    example = Layout(backbone, "suffix", 2).example(rendered, ["y"])
    assert example.context[0] == backbone.bos
    assert backbone.bos not in example.context[1:]


@pytest.mark.parametrize("placement", ["front", "prefix", "suffix", "both"])
def test_a_template_that_begins_with_the_opening_token_has_it_once(placement: str) -> None:
    backbone = tiny_backbone()
    layout = Layout(backbone, placement, 2)

    def encoded(template: str, text: str) -> tuple[int, ...]:
        row = Row("f", 1, {"text": text}, "y")
        task = Task("t", "generation", Template(template), (), "y", ("text",), (row,), (), ())
        (example,) = encode_rows(task, [row], layout, answers="none").examples
        return (*example.context, *example.trunk)

    plain = encoded("{text} {answer}", "ok")
    assert encoded("<s>{text} {answer}", "ok") == plain
    # A text of the user's keeps it.
    assert len(encoded("{text} {answer}", "<s>ok")) > len(plain)


def test_a_text_that_begins_like_the_opening_token_keeps_it() -> None:
    layout = Layout(tiny_backbone(), "suffix", 2)
    struck, plain = (
        layout.example(Template("{text} {answer}").render({"text": text}), ["y"])
        for text in ("<s>ok", "ok")
    )
    assert len(struck.context) + len(struck.trunk) > len(plain.context) + len(plain.trunk)
