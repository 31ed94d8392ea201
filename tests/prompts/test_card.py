"""The model card tells what was measured, whatever the task."""

from __future__ import annotations

from dataclasses import replace

from prompts.test_artifact import make
from softprompt.evaluation import score_classification, score_generation
from softprompt.prompts.card import card


def test_every_measure_stands_in_the_card() -> None:
    demands = {"format": "[a-z ]+", "terms": ("soft prompt",)}
    free = score_generation(["a soft prompt", "x"], ["a soft prompt", "y"], demands=demands)
    text = card(replace(make("suffix"), metrics={"test": free, "seconds": {"training": 1.0}}))
    for row in (
        "exact match | 0.500 | 0.095 to 0.905",
        "token F1 | 0.",
        "chrF | 0.",
        "ROUGE-L | 0.",
    ):
        assert f"| test | 2 | {row}" in text
    assert "| test | 2 | adherence to the format | 1.000 | 0.342 to 1.000 |" in text
    assert "| test | 2 | adherence to the terms | 1.000 | 0.207 to 1.000 |" in text
    labels = score_classification(["a", "b"], ["a", "a"], ["a", "b"])
    text = card(replace(make("suffix"), metrics={"test": labels}))
    assert "| test | 2 | accuracy | 0.500 | 0.095 to 0.905 |" in text
    assert "| test | 2 | macro-F1 | 0.333 | " in text


def test_a_chat_template_is_told_of() -> None:
    plain = make("suffix")
    told = "a user's message in the model's chat template"
    assert told in card(replace(plain, task=replace(plain.task, chat=True)))
    assert told not in card(plain)
