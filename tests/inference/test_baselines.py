"""Baselines: what they choose on, and that they say how they were made."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import feedback_task, tiny_backbone

from softprompt.errors import UsageError
from softprompt.inference import Answers, Encoded, encode_rows
from softprompt.inference.answers import answer
from softprompt.inference.baselines import BASELINES, BaselineRequest
from softprompt.inference.baselines.zero_shot import hand_written
from softprompt.prompts import Layout
from softprompt.tasks import Template

ZERO_SHOT = importlib.import_module("softprompt.inference.baselines.zero_shot")
FEW_SHOT = importlib.import_module("softprompt.inference.baselines.few_shot")


def request(folder: Path, **settings: object) -> BaselineRequest:
    base = BaselineRequest(tiny_backbone(), feedback_task(folder), "macro_f1")
    return replace(base, **settings)  # type: ignore[arg-type]


def test_the_majority_is_that_of_the_training_rows(tmp_path: Path) -> None:
    asked = request(tmp_path)
    task = asked.task
    rows = tuple(row for row in task.train if row.answer == "good")[:1] + tuple(
        row for row in task.train if row.answer == "bad"
    )
    metric = BASELINES.get("majority")(replace(asked, task=replace(task, train=rows)))
    assert metric["guess"] == "bad"
    share = sum(row.answer == "bad" for row in task.test) / len(task.test)
    assert metric["accuracy"] == pytest.approx(share)


def test_the_hand_prompt_is_chosen_on_validation_rows(tmp_path: Path) -> None:
    templates = ("{text} is {answer}", "{text}\nLabel: {answer}", "Nhãn của {text}: {answer}")
    asked = request(tmp_path, templates=templates)
    chosen = BASELINES.get("zero_shot")(asked)
    assert chosen["template"] in templates
    assert chosen["templates_tried"] == 3
    # Swapping the test rows does not change the choice; it depends on validation rows alone.
    swapped = replace(asked, task=replace(asked.task, test=asked.task.train))
    assert BASELINES.get("zero_shot")(swapped)["template"] == chosen["template"]


def test_rows_that_choose_a_hand_prompt_are_a_sample_of_a_sorted_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(tmp_path, templates=("{text} is {answer}", "{text}\nLabel: {answer}"))
    rows = sorted(asked.task.train, key=lambda row: str(row.answer))
    monkeypatch.setattr(ZERO_SHOT, "CHOOSING_ROWS", len(rows) // 4)
    read: list[set[str]] = []

    def noted(backbone: object, task: object, encoded: Encoded, *rest: Any, **more: Any) -> Any:
        read.append({str(row.answer) for row in encoded.rows})
        assert len(encoded.rows) == len(rows) // 4
        return answer(asked.backbone, asked.task, encoded, *rest, **more)

    monkeypatch.setattr(ZERO_SHOT, "answer", noted)
    sorted_task = replace(asked.task, validation=tuple(rows), test=())
    BASELINES.get("zero_shot").choose(replace(asked, task=sorted_task))
    assert read == [{"bad", "good"}] * 2


def test_standard_wordings_name_inputs_target_and_choices(tmp_path: Path) -> None:
    task = feedback_task(tmp_path)
    texts = [template.text for template in hand_written(task) if template]
    assert len(set(texts)) == len(texts) >= 4
    assert any("bad, good" in text for text in texts)
    slotted = replace(task, template=Template("{prompt:4}{text}\nLabel: {answer}"))
    assert not any(template.slots for template in hand_written(slotted) if template)


def test_demonstrations_come_from_training_rows_and_shrink_to_the_window(tmp_path: Path) -> None:
    metric = BASELINES.get("few_shot")(request(tmp_path, shots=2))
    assert (metric["shots"], metric["n"]) == (2, len(request(tmp_path).task.test))
    crowded = BASELINES.get("few_shot")(request(tmp_path, shots=40))
    assert crowded["shortened"] == crowded["n"]


def test_demonstrations_and_a_plain_question_read_the_same_answers_in_a_chat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(tmp_path, shots=1, chat=True)
    chat = "{% for m in messages %}<user>{{ m.content }}{% endfor %}<model>\n"
    monkeypatch.setattr(asked.backbone.tokenizer, "chat_template", chat)
    read: list[Encoded] = []

    def noted(backbone: object, task: object, encoded: Encoded, *rest: Any, **more: Any) -> Any:
        read.append(encoded)
        return answer(asked.backbone, asked.task, encoded, *rest, **more)

    monkeypatch.setattr(FEW_SHOT, "answer", noted)
    BASELINES.get("few_shot")(asked)
    layout = Layout(asked.backbone, None, scoring="wording")
    plain = encode_rows(asked.task, asked.task.test, layout, answers="choices", chat=True)
    assert read[0].examples[0].answers == plain.examples[0].answers
    assert read[0].examples[0].context != plain.examples[0].context


@pytest.mark.parametrize("name", ["zero_shot", "few_shot"])
def test_what_learned_nothing_is_not_asked_for_the_end_of_a_label(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(tmp_path, shots=2)
    read: list[Encoded] = []

    def noted(backbone: object, task: object, encoded: Encoded, *rest: Any, **more: Any) -> Any:
        read.append(encoded)
        return answer(asked.backbone, asked.task, encoded, *rest, **more)

    monkeypatch.setattr({"zero_shot": ZERO_SHOT, "few_shot": FEW_SHOT}[name], "answer", noted)
    BASELINES.get(name)(asked)
    wordings = [choice.wording for choice in asked.task.choices]
    labels = [tuple(asked.backbone.encode(f" {word}")) for word in wordings]
    assert read[-1].examples[0].answers == tuple(labels)


def test_a_free_answer_ends_where_another_demonstration_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(tmp_path, shots=1, max_new_tokens=60)
    asked = replace(asked, task=replace(asked.task, kind="generation", choices=()))
    written = ["good\n\ntext: more\nlabel: bad"] * len(asked.task.test)
    heard: list[str] = []
    encoded: list[Encoded] = []

    def answered(*given: Any, **more: Any) -> Answers:
        encoded.append(given[2])
        return Answers(written=tuple(written))

    monkeypatch.setattr(FEW_SHOT, "answer", answered)
    BASELINES.get("few_shot")(replace(asked, heard=heard.extend))
    assert set(heard) == {"good"}
    # There is room for the answer behind the demonstrations.
    longest = max(example.tokens for example in encoded[0].examples)
    assert longest + 60 <= asked.backbone.window


@pytest.mark.parametrize(("right", "kept"), [("good", "good"), ("one\ntwo", "good\nmore: bad")])
def test_a_free_answer_to_a_question_has_lines_where_right_ones_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: str, kept: str
) -> None:
    asked = request(tmp_path, templates=("{text}: {answer}",))
    task = asked.task
    train = tuple(replace(row, answer=right) for row in task.train)
    asked = replace(asked, task=replace(task, kind="generation", choices=(), train=train))
    heard: list[str] = []

    def answered(*given: Any, **more: Any) -> Answers:
        return Answers(written=("good\nmore: bad",) * len(given[2].examples))

    monkeypatch.setattr(ZERO_SHOT, "answer", answered)
    BASELINES.get("zero_shot")(replace(asked, heard=heard.extend))
    assert set(heard) == {kept}


def test_a_majority_of_free_texts_is_refused(tmp_path: Path) -> None:
    asked = request(tmp_path)
    free = replace(asked, task=replace(asked.task, kind="generation", choices=()))
    with pytest.raises(UsageError, match="needs answer choices"):
        BASELINES.get("majority")(free)
