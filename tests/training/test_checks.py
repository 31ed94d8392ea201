"""What is refused before a run writes anything, and what settings mean together."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import feedback_task, tiny_backbone

from softprompt import tune
from softprompt.errors import DataError, SoftPromptError
from softprompt.prompts import PromptConfig
from softprompt.prompts.depths import DEPTHS
from softprompt.tasks import Task, Template
from softprompt.training import TrainingConfig
from softprompt.training.setup import Setup
from softprompt.training.tune import with_settings

FAST: dict[str, Any] = {"batch_size": 8, "length": 4, "readout": "off"}


def test_settings_that_say_two_things_or_nothing_are_refused(tmp_path: Path) -> None:
    """Before anything is written, so that the mended command finds its folder empty."""
    task = feedback_task(tmp_path)
    slotted = replace(task, template=Template("{prompt:2}{text}\nLabel:{prompt:3} {answer}"))
    refused: list[tuple[Task, dict[str, Any], str]] = [
        (slotted, {"length": 4}, "length is said more than once"),
        (slotted, {"length": 8, "placement": "prefix"}, "the placement is 'prefix'"),
        (
            slotted,
            {"method": "prompt-tuning", "length": 8, "placement": "suffix"},
            "the placement is 'suffix'",
        ),
        (task, {"initialisation": "text"}, "needs a text"),
        (task, {"initialisation": "prompt"}, "needs a prompt to start from"),
        (task, {"initialisation": "labels", "text": "x"}, "no prompt begins from it"),
        (task, {"initialisation": "labels", "start": "x"}, "no prompt begins from it"),
        (task, {"metric": "f1"}, "cannot be chosen by 'f1' here"),
        (task, {"metric": "chrf"}, "cannot be chosen by 'chrf'"),
        (task, {"initialisation": "context", "depth": "kv", "text": "x"}, "The text has 1 tokens"),
    ]
    for asked, settings, message in refused:
        with pytest.raises(SoftPromptError, match=message):
            tune(asked, tiny_backbone(), tmp_path / "run", **{**FAST, **settings})
    assert not (tmp_path / "run").exists()


def test_texts_without_words_are_learned_without_keywords(tmp_path: Path) -> None:
    task = feedback_task(tmp_path)
    train = tuple(
        replace(row, columns={**row.columns, "text": f"{number} {number % 7}"})
        for number, row in enumerate(task.train)
    )
    bare = replace(task, train=train)
    config = with_settings({}, PromptConfig(), TrainingConfig())
    assert "keywords" in Setup.of(task, tiny_backbone(), *config).initialisations()
    found = Setup.of(bare, tiny_backbone(), *config).initialisations()
    assert found == ("labels", "vocabulary")
    with pytest.raises(SoftPromptError, match="found no words"):
        tune(bare, tiny_backbone(), tmp_path / "run", **FAST, initialisation="keywords")


def test_a_text_to_begin_from_is_nfc() -> None:
    assert PromptConfig(text=unicodedata.normalize("NFD", "phục vụ")).text == "phục vụ"


def test_labels_that_the_tokenizer_writes_alike_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = tiny_backbone()
    monkeypatch.setattr(type(backbone), "encode", lambda self, text: [5 for _ in text.split()])
    with pytest.raises(DataError, match="alike, so it cannot tell them apart"):
        tune(feedback_task(tmp_path), backbone, tmp_path / "run", **FAST)
    assert not (tmp_path / "run").exists()


def test_a_conversation_that_the_chat_template_refuses_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        {
            "messages": [
                {"role": "system", "content": "x"},
                {"role": "user", "content": f"coffee number {number}"},
                {"role": "assistant", "content": ("good", "bad")[number % 2]},
            ]
        }
        for number in range(60)
    ]
    file = tmp_path / "chats.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    backbone = tiny_backbone()
    template = "{{ raise_exception('System role not supported') }}"
    monkeypatch.setattr(backbone.tokenizer, "chat_template", template)
    with pytest.raises(DataError, match=r"row \d+: .* \(System role not supported\)"):
        tune(Task.from_file(file), backbone, tmp_path / "run", **FAST)


def test_what_is_given_to_begin_from_is_begun_from(tmp_path: Path) -> None:
    task = feedback_task(tmp_path)
    settings = {**FAST, "population": 1, "epochs": 1}
    first = tune(task, tiny_backbone(), tmp_path / "a", text="good coffee", **settings)
    assert first["population"][0]["initialisation"] == "text"
    second = tune(task, tiny_backbone(), tmp_path / "b", start=first["prompt"], **settings)
    assert second["population"][0]["initialisation"] == "prompt"


def test_a_prompt_may_begin_as_the_keys_and_values_of_a_document(tmp_path: Path) -> None:
    backbone, document = tiny_backbone(), "The shop sells coffee, tea and slow parcels."
    length = len(backbone.encode(document)) - 2
    setup = Setup.of(
        feedback_task(tmp_path),
        backbone,
        PromptConfig(method="ct-kv", text=document, length=length),
        TrainingConfig(population=1),
    )
    member = setup.members(setup.candidates(), setup.task.train)[0]
    assert not member.made_of
    ids = backbone.encode(document)[:length]
    tensors = DEPTHS.get("kv").tensors(member.vectors(), [length], backbone)
    context = backbone.encode_context([[backbone.bos or 0, *ids]])
    for layer, keys_1JTd in enumerate(context.keys):
        torch.testing.assert_close(
            tensors["keys"][layer], keys_1JTd[0, :, 1:], rtol=1e-4, atol=1e-4
        )


def test_another_method_brings_its_own_axes() -> None:
    prompt, _ = with_settings(
        {"method": "prefix-tuning"},
        PromptConfig(method="p-tuning", length=5, initialisation="random"),
        TrainingConfig(),
    )
    assert (prompt.method, prompt.depth, prompt.parametrisation) == (
        "prefix-tuning",
        "kv",
        "encoder",
    )
    assert (prompt.length, prompt.initialisation) == (5, "random")


def test_zeros_can_begin_at_every_layer(tmp_path: Path) -> None:
    backbone = tiny_backbone()
    rows = torch.zeros(3, backbone.layers * backbone.hidden_size)
    sizes = DEPTHS.get("deep").scale(rows, backbone)
    assert sizes is not None and bool((sizes == 1).all())
