"""A prompt at work: texts, columns, rows, templates, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from prompts.test_artifact import make
from tiny import tiny_backbone

from softprompt.errors import DataError, UsageError
from softprompt.inference import Predictor, encode_rows, predict, task_of
from softprompt.inference.generation import generate
from softprompt.inference.rows import text_row
from softprompt.prompts import Example, SoftPrompt
from softprompt.tasks import Row

TEXTS = ["great coffee", "giao hàng quá chậm, hộp bị móp", "ok"]


def free(prompt: SoftPrompt) -> SoftPrompt:
    task = replace(prompt.task, kind="generation", choices=(), max_new_tokens=6)
    return replace(prompt, task=task)


@pytest.mark.parametrize("placement", ["suffix", "prefix", "front"])
def test_an_answer_does_not_depend_on_its_neighbours(placement: str) -> None:
    prompt = make(placement)
    together = predict(prompt, TEXTS, tiny_backbone())
    for text, answer in zip(TEXTS, together, strict=True):
        alone = predict(prompt, [text], tiny_backbone())[0]
        assert alone.answer == answer.answer
        assert alone.probabilities == pytest.approx(answer.probabilities, abs=1e-4)
        assert sum(alone.probabilities.values()) == pytest.approx(1)
        assert alone.probability == max(alone.probabilities.values())


def test_answers_are_held_against_what_was_demanded_in_training() -> None:
    prompt, backbone = free(make()), tiny_backbone()
    rows = [Row("a", n, {"text": text}, "yes") for n, text in enumerate(TEXTS, 1)]
    found = {}
    for wanted in ("(?s).*", "never written"):
        task = replace(prompt.task, demands={"format": wanted})
        found[wanted] = Predictor(replace(prompt, task=task), backbone).evaluate(rows)
    assert found["(?s).*"]["format_adherence"] == 1
    assert found["never written"]["format_adherence"] == 0
    assert "format_adherence" not in Predictor(prompt, backbone).evaluate(rows)


@pytest.mark.parametrize("placement", ["suffix", "prefix", "front"])
def test_generated_text_equals_greedy_decoding_without_batches(placement: str) -> None:
    backbone, prompt = tiny_backbone(), free(make(placement))
    rows = [Row("a", n, {"text": text}, None) for n, text in enumerate(TEXTS, 1)]
    encoded = encode_rows(task_of(prompt.task), rows, prompt.layout(backbone), answers="none")
    together = generate(backbone, encoded.examples, prompt.members, 6)
    for example, text in zip(encoded.examples, together, strict=True):
        assert text == greedy(example, prompt.vectors, 6)


def greedy(example: Example, vectors: torch.Tensor, steps: int) -> str:
    """The oracle: one uncached forward pass a token."""
    backbone = tiny_backbone()
    ids = [*example.context, *example.trunk]
    rows = [vectors[-1 - i] if i < 0 else backbone.embed(torch.tensor(i)) for i in ids]
    written: list[int] = []
    for _ in range(steps):
        with torch.no_grad():
            logits = backbone.model(inputs_embeds=torch.stack(rows)[None]).logits[0, -1]
        token = int(logits.argmax())
        if token == backbone.eos:
            break
        written.append(token)
        rows.append(backbone.embed(torch.tensor(token)))
    return str(backbone.tokenizer.decode(written, skip_special_tokens=True)).strip()


def test_texts_columns_and_rows_are_the_same_question() -> None:
    predictor = Predictor(make(), tiny_backbone())
    forms = ["great coffee", {"text": "great coffee"}, Row("f", 1, {"text": "great coffee"}, None)]
    answers = predictor.predict(forms)
    assert answers[0].probabilities == answers[1].probabilities == answers[2].probabilities


def test_unicode_forms_of_one_text_get_one_answer() -> None:
    import unicodedata

    predictor = Predictor(make(), tiny_backbone())
    composed, decomposed = (unicodedata.normalize(form, TEXTS[1]) for form in ("NFC", "NFD"))
    assert composed != decomposed
    first, second = predictor.predict([composed, decomposed])
    assert first.probabilities == second.probabilities


def test_temperature_flattens_and_does_not_change_the_answer() -> None:
    prompt = make()
    sharp = replace(prompt, task=replace(prompt.task, temperature=0.5))
    first, second = (predict(p, TEXTS, tiny_backbone()) for p in (prompt, sharp))
    assert [a.answer for a in first] == [a.answer for a in second]
    assert all(
        (b.probability or 0) > (a.probability or 0) for a, b in zip(first, second, strict=True)
    )


def test_an_adjustment_changes_the_answer_and_no_probability() -> None:
    prompt = make()
    plain = predict(prompt, TEXTS, tiny_backbone())
    for place, label in enumerate(prompt.task.labels):
        adjustment = tuple(9.0 * (number == place) for number in range(len(prompt.task.labels)))
        changed = replace(prompt, task=replace(prompt.task, adjustment=adjustment))
        for one, other in zip(predict(changed, TEXTS, tiny_backbone()), plain, strict=True):
            assert one.answer == label
            assert one.probabilities == other.probabilities
            assert one.probability == one.probabilities[label]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([""], "is empty"),
        (["  "], "is empty"),
        ([{"txt": "x"}], "is empty"),
        ([None], "Input 1 is no text: 'None'"),
        (["x", {"text": 3}], "Input 2 is no text"),
        (["word " * 300], r"takes \d+ tokens; the window of the model has 128"),
    ],
)
def test_what_cannot_be_answered_is_said(texts: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        predict(make(), texts, tiny_backbone())  # type: ignore[arg-type]


def test_one_text_is_no_list_of_texts() -> None:
    with pytest.raises(UsageError, match=r"Write predict\(\[text\]\)"):
        predict(make(), "great coffee", tiny_backbone())


def test_a_prompt_that_reads_conversations_reads_them_however_they_are_given() -> None:
    prompt, backbone = make(), tiny_backbone()
    task = replace(prompt.task, template=None, inputs=("messages",))
    prompt = replace(prompt, task=task)
    said = [{"role": "user", "content": "great coffee"}]
    ways = ["great coffee", said, {"messages": said}, {"messages": "great coffee"}]
    found = predict(prompt, ways, backbone)
    assert len({answer.probability for answer in found}) == 1
    # As in a file, an assistant's last message is the answer and not read.
    whole = [*said, {"role": "assistant", "content": "pos"}]
    written = {"messages": json.dumps(whole)}
    for given in (whole, tuple(whole), {"messages": whole}, written):
        assert predict(prompt, [given], backbone)[0].probability == found[0].probability
        assert text_row(task, given).answer == "pos"
    # A text alone is what a user says, whatever it looks like.
    assert text_row(task, written["messages"]).messages[0]["content"] == written["messages"]
    other = predict(prompt, ["giao hàng quá chậm"], backbone)[0]
    assert other.probabilities != found[0].probabilities
    for wrong, message in (
        ([{"messages": []}], "no list of messages"),
        ([[{"role": "user"}]], "without a role and a content"),
        ([whole[1:]], "has an assistant message only"),
        ([""], "is empty"),
        ([Row("plain.csv", 7, {"messages": "great coffee"}, None)], "row 7 holds no conversation"),
    ):
        with pytest.raises(DataError, match=message):
            predict(prompt, wrong, backbone)  # type: ignore[arg-type]


def test_two_inputs_need_a_mapping() -> None:
    prompt = make().with_template("{title}: {body} {answer}")
    with pytest.raises(DataError, match=r"reads the columns \['title', 'body'\]"):
        predict(prompt, ["x"], tiny_backbone())
    assert predict(prompt, [{"title": "a", "body": "b"}], tiny_backbone())[0].answer


def test_evaluation_refuses_unknown_and_absent_labels() -> None:
    predictor = Predictor(make(), tiny_backbone())
    with pytest.raises(DataError, match="f: row 2 has the unknown label 'bad'"):
        predictor.evaluate([Row("f", 1, {"text": "a"}, "pos"), Row("f", 2, {"text": "b"}, "bad")])
    with pytest.raises(DataError, match="f: row 1 has no answer"):
        predictor.evaluate([Row("f", 1, {"text": "a"}, None)])


def test_slicing_by_an_absent_column_is_refused() -> None:
    rows = [Row("f", 1, {"text": "a", "part": "x"}, "pos")]
    predictor = Predictor(make(), tiny_backbone())
    with pytest.raises(DataError, match="no column 'prt' to slice by"):
        predictor.evaluate(rows, slice_column="prt")
    assert set(predictor.evaluate(rows, slice_column="part")["slices"]) == {"x"}


def test_long_rows_are_left_out_when_asked_and_counted() -> None:
    predictor = Predictor(make(), tiny_backbone())
    rows = [Row("f", 1, {"text": "a"}, "pos"), Row("f", 2, {"text": "word " * 300}, "neg")]
    with pytest.raises(DataError, match="f: row 2 takes"):
        predictor.evaluate(rows)
    for more, told in ((1, "1 more row is too long"), (2, "2 more rows are too long")):
        with pytest.raises(DataError, match=told):
            predictor.evaluate([*rows, *rows[1:] * more])
    metric = predictor.evaluate(rows, drop_long=True)
    assert (metric["n"], metric["dropped"]) == (1, 1)
