"""Which rule a task's metric gets, and that all that is chosen is chosen by it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from tiny import feedback_task

from softprompt.evaluation import best_score, likeliest_suits, value
from softprompt.inference import Answers, Encoded, adjustment_for, measure, suited_score
from softprompt.tasks import Row, Task

ROWS = 300


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """Two labels, the second in every tenth training row."""
    found = feedback_task(tmp_path)
    rows = [replace(found.train[0], answer=found.labels[n % 10 == 0]) for n in range(100)]
    return replace(found, train=tuple(rows))


def answered(task: Task) -> tuple[Encoded, Answers]:
    """Rows of which the second label's are likelier than others to have it, though never likely."""
    rng = np.random.default_rng(2)
    gold = (np.arange(ROWS) % 10 == 0).astype(int)
    chance = np.where(gold == 1, 0.3, 0.1) + rng.uniform(-0.05, 0.05, ROWS)
    scores = np.log(np.stack([1 - chance, chance], 1))[None]
    rows = [Row("v", number, {}, task.labels[place]) for number, place in enumerate(gold)]
    encoded = cast(Encoded, SimpleNamespace(rows=rows, examples=rows, dropped=0))
    return encoded, Answers(labels=task.labels, log_scores=scores)


def test_macro_f1_gets_an_adjustment_and_is_chosen_by_it(task: Task) -> None:
    encoded, answers = answered(task)
    added = adjustment_for(task, encoded, answers, "macro_f1")
    assert added[0] == 0 < added[1]
    plain = value(measure(task, encoded, answers), "macro_f1")
    adjusted = value(measure(task, encoded, answers.at(1.0, added)), "macro_f1")
    assert plain < 0.5 < adjusted
    assert suited_score(task, encoded, answers, "macro_f1") > plain


def test_accuracy_gets_none_and_is_chosen_by_the_likeliest(task: Task) -> None:
    encoded, answers = answered(task)
    assert likeliest_suits("accuracy")
    assert not likeliest_suits("macro_f1")
    assert adjustment_for(task, encoded, answers, "accuracy") == ()
    plain = value(measure(task, encoded, answers), "accuracy")
    assert suited_score(task, encoded, answers, "accuracy") == plain
    # The rule does not hang on luck: some share would have been a little better here.
    lucky = best_score(
        np.asarray(answers.probabilities),
        [task.labels.index(str(row.answer)) for row in encoded.rows],
        [90, 10],
        lambda gold, given: float((gold == given).mean()),
    )
    assert lucky >= plain


def test_free_text_has_nothing_to_adjust(task: Task) -> None:
    encoded, _ = answered(task)
    free = replace(task, kind="generation", choices=())
    answers = Answers(written=tuple(str(row.answer) for row in encoded.rows))
    assert adjustment_for(free, encoded, answers, "token_f1") == ()
    assert suited_score(free, encoded, answers, "token_f1") == 1.0
