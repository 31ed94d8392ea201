"""Macro-F1, its interval, the table of classes and the confusion matrix."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.metrics import f1_score

from softprompt.evaluation.intervals import wilson
from softprompt.evaluation.metrics import Answered
from softprompt.evaluation.metrics.macro_f1 import macro_f1

LABELS = ["neg", "neu", "pos"]


def drawn(n: int = 300) -> tuple[list[str], list[str]]:
    """Right labels with a rare class, and predictions that are right two times in three."""
    rng = np.random.default_rng(0)
    references = rng.choice(LABELS, n, p=[0.5, 0.06, 0.44])
    guesses = rng.choice(LABELS, n)
    predictions = np.where(rng.random(n) < 0.5, references, guesses)
    return references.tolist(), predictions.tolist()


def test_a_case_counted_by_hand() -> None:
    # neg: precision 1, recall 1/2, F1 2/3; neu: precision 1/2, recall 1, F1 2/3; pos: F1 1.
    given = macro_f1(Answered(["neg", "neg", "neu", "pos"], ["neg", "neu", "neu", "pos"], LABELS))
    assert given["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert given["per_class"]["neg"] == {
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
        "n": 2,
    }
    assert given["per_class"]["neu"]["precision"] == 0.5
    assert given["confusion"] == {"labels": LABELS, "counts": [[1, 1, 0], [0, 1, 0], [0, 0, 1]]}


def test_it_is_sklearns_where_all_labels_occur() -> None:
    references, predictions = drawn()
    given = macro_f1(Answered(references, predictions, LABELS))
    assert given["macro_f1"] == pytest.approx(f1_score(references, predictions, average="macro"))


def test_a_label_without_references_takes_no_part_in_the_mean() -> None:
    given = macro_f1(Answered(["neg", "pos"], ["neg", "neu"], LABELS))
    assert given["macro_f1"] == pytest.approx(1 / 2)
    assert given["per_class"]["neu"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "n": 0}


def test_the_interval_is_that_of_resampled_rows() -> None:
    references, predictions = drawn()
    low, high = macro_f1(Answered(references, predictions, LABELS))["macro_f1_interval"]
    rng = np.random.default_rng(7)
    right, given = np.array(references), np.array(predictions)
    scores = []
    for _ in range(500):
        rows = rng.integers(0, len(right), len(right))
        present = sorted(set(right[rows]))
        scores.append(f1_score(right[rows], given[rows], labels=present, average="macro"))
    assert low == pytest.approx(np.percentile(scores, 2.5), abs=0.012)
    assert high == pytest.approx(np.percentile(scores, 97.5), abs=0.012)


def test_a_class_that_a_resample_lacks_makes_no_score_higher() -> None:
    # The only row of the third class is never right: the mean of three is at most two thirds.
    references = ["a"] * 60 + ["b"] * 39 + ["c"]
    predictions = ["a"] * 60 + ["b"] * 39 + ["a"]
    labels = ("a", "b", "c")
    low, high = macro_f1(Answered(references, predictions, labels))["macro_f1_interval"]
    assert 0.6 < low < high <= 2 / 3


def test_the_interval_of_a_faultless_model_is_that_of_its_rows_even_with_a_rare_class() -> None:
    references = ["neg"] * 30 + ["neu"]
    found = macro_f1(Answered(references, references, LABELS))["macro_f1_interval"]
    assert found == list(wilson(31, 31))


def test_the_interval_depends_on_the_seed() -> None:
    references, predictions = drawn()
    one, same, other = (
        macro_f1(Answered(references, predictions, LABELS, seed=seed))["macro_f1_interval"]
        for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other


def test_a_hundred_and_fifty_labels_of_8000_rows_take_less_than_a_few_seconds() -> None:
    rng = np.random.default_rng(0)
    labels = [f"label {i}" for i in range(150)]
    right = rng.integers(150, size=8000)
    guess = np.where(rng.random(8000) < 0.8, right, rng.integers(150, size=8000))
    start = time.process_time()
    given = macro_f1(Answered([labels[i] for i in right], [labels[i] for i in guess], labels))
    # Scoring 1,000 resamples of the rows one after another takes many times as long.
    assert time.process_time() - start < 3
    low, high = given["macro_f1_interval"]
    assert low < given["macro_f1"] < high
