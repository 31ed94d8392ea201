"""The choice between the best prompt and the ensemble, by validation rows that did not choose."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from tiny import feedback_task, tiny_backbone

from softprompt.inference import Answers, Encoded, measure, suited_score
from softprompt.prompts import PromptConfig
from softprompt.tasks import Row
from softprompt.training import TrainingConfig
from softprompt.training.selection import select
from softprompt.training.setup import Setup

TUNING = importlib.import_module("softprompt.training.tuning")
LABELS = ("bad", "good")


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup.of(feedback_task(tmp_path), tiny_backbone(), PromptConfig(), TrainingConfig())


def judged(rows: int, accuracies: list[float], shared: bool) -> tuple[Encoded, list[Answers]]:
    """Rows and answers of prompts of those accuracies, with errors in the same rows or in others.

    Wrong answers are less sure than right ones, as they are where an ensemble helps.
    """
    rng = np.random.default_rng(3)
    gold = np.arange(rows) % 2
    luck = rng.random(rows)
    answers = []
    for accuracy in accuracies:
        right = (luck if shared else rng.random(rows)) < accuracy
        sign = np.where(right == (gold == 1), 1.0, -1.0) * np.where(right, 2.0, 1.0)
        scores = np.stack([-sign, sign], 1)[None]
        answers.append(Answers(labels=LABELS, log_scores=scores))
    found = [Row("v", number, {}, LABELS[label]) for number, label in enumerate(gold)]
    encoded = cast(Encoded, SimpleNamespace(rows=found, examples=found, dropped=0))
    return encoded, answers


def test_prompts_that_err_in_other_rows_are_kept_together(setup: Setup) -> None:
    chosen = select(setup, *judged(200, [0.72, 0.7, 0.7, 0.7], shared=False))
    assert chosen.count == chosen.tried == 4
    assert chosen.validation == chosen.ensemble


def test_a_prompt_far_above_the_others_is_kept_alone(setup: Setup) -> None:
    chosen = select(setup, *judged(200, [0.95, 0.5, 0.5, 0.5], shared=False))
    assert chosen.count == 1
    assert chosen.tried == 4
    assert chosen.ensemble is not None
    assert chosen.p_value is not None
    assert chosen.p_value < 1e-6


def test_prompts_that_err_in_the_same_rows_gain_nothing(setup: Setup) -> None:
    assert select(setup, *judged(200, [0.7, 0.7, 0.7], shared=True)).count == 1


@pytest.mark.parametrize(("wanted", "count"), [("off", 1), (2, 2), (99, 3)])
def test_the_user_may_have_decided(setup: Setup, wanted: Any, count: int) -> None:
    setup = replace(setup, training=TrainingConfig(ensemble=wanted))
    chosen = select(setup, *judged(100, [0.9, 0.5, 0.5], shared=False))
    assert chosen.count == count


def test_labels_suit_the_metric_where_a_class_is_rare(setup: Setup) -> None:
    rng = np.random.default_rng(5)
    gold = (rng.random(1500) < 0.1).astype(int)
    # Right log-probabilities of two classes, of which the rare one is hardly ever the likelier.
    margin = rng.normal(0, 1, 1500) + np.where(gold == 1, 1.0, -1.0) + np.log(0.1 / 0.9) / 2
    answers = Answers(labels=LABELS, log_scores=np.stack([-margin, margin], 1)[None])
    found = [Row("v", number, {}, LABELS[label]) for number, label in enumerate(gold)]
    encoded = cast(Encoded, SimpleNamespace(rows=found, examples=found, dropped=0))
    rows = [replace(setup.task.train[0], answer=LABELS[number % 10 == 0]) for number in range(100)]
    setup = replace(setup, task=replace(setup.task, train=tuple(rows)))
    chosen = select(setup, encoded, [answers])
    plain = measure(setup.task, encoded, answers.at(chosen.temperature))
    assert chosen.adjustment[1] > chosen.adjustment[0] == 0
    assert chosen.validation["macro_f1"] > plain["macro_f1"]
    accurate = replace(setup, metric="accuracy")
    assert select(accurate, encoded, [answers]).adjustment == ()


def test_the_score_that_prompts_are_chosen_by_can_be_had_of_unsure_ones(setup: Setup) -> None:
    gold = (np.arange(200) % 10 < 3).astype(int)
    # At temperature 1 a share of 0.5 tells the classes apart, at the fitted 0.4 one above 1 does.
    margin = np.where(gold == 1, -0.36, -0.60)
    answers = Answers(labels=LABELS, log_scores=np.stack([-margin, margin], 1)[None] / 2)
    found = [Row("v", number, {}, LABELS[label]) for number, label in enumerate(gold)]
    encoded = cast(Encoded, SimpleNamespace(rows=found, examples=found, dropped=0))
    rows = [replace(setup.task.train[0], answer=LABELS[number % 10 < 3]) for number in range(100)]
    setup = replace(setup, task=replace(setup.task, train=tuple(rows)))
    chosen = select(setup, encoded, [answers])
    assert chosen.temperature < 0.5
    assert suited_score(setup.task, encoded, answers, "macro_f1") == 1
    assert chosen.validation["macro_f1"] == 1


@pytest.mark.parametrize(("right", "kept"), [(0.8, True), (0.5, False)])
def test_a_readout_is_kept_where_it_makes_right_labels_likelier(
    setup: Setup, right: float, kept: bool
) -> None:
    validation, (prompt, readout) = judged(400, [0.7, right], shared=False)
    assert readout.log_scores is not None
    chosen = select(setup, validation, [prompt], readout.log_scores[0])
    assert (chosen.alone is not None) is kept
    if kept:
        assert chosen.alone is not None
        assert chosen.validation["accuracy"] > chosen.alone[1]["accuracy"]
    setup = replace(setup, training=TrainingConfig(readout="on"))
    assert select(setup, validation, [prompt], readout.log_scores[0]).alone is not None


def test_two_rows_are_enough_to_choose(setup: Setup) -> None:
    assert select(setup, *judged(2, [0.7, 0.7], shared=False)).count in {1, 2}


def test_free_answers_differ_by_what_the_metric_says_of_them(tmp_path: Path) -> None:
    task = replace(feedback_task(tmp_path), kind="generation", choices=())
    setup = Setup.of(task, tiny_backbone(), PromptConfig(), TrainingConfig())
    rows = [Row("v", number, {}, f"the parcel {number} came late") for number in range(30)]
    encoded = cast(Encoded, SimpleNamespace(rows=rows, examples=rows, dropped=0))
    near = Answers(written=tuple(f"parcel {number} late" for number in range(30)))
    far = Answers(written=("nothing at all",) * 30)
    # Neither is ever right to the letter.
    assert (select(setup, encoded, [near, far]).p_value or 1) < 0.01
    assert select(setup, encoded, [near, near]).p_value == 1


def test_a_validation_tells_what_would_be_kept_of_prompts_that_are_sure_and_wrong(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = replace(setup, metric="accuracy", training=TrainingConfig(ensemble=2, readout="on"))
    encoded, answers = judged(200, [0.5, 0.5], shared=False)
    answers = [replace(each, log_scores=20 * cast(Any, each.log_scores)) for each in answers]
    gold = np.arange(200) % 2
    readout_NC = 6 * np.stack([1.0 - gold, gold], 1)
    kept = select(setup, encoded, answers, readout_NC).validation["accuracy"]
    monkeypatch.setattr(TUNING, "answers_of", lambda *given: answers)
    fitted = cast(Any, SimpleNamespace(validation_NC=readout_NC))
    found = TUNING._scores(setup, encoded, cast(Any, None), fitted, [])
    assert [record["together"] for _, record in found] == [pytest.approx(kept)] * 2
    assert kept == 1
