"""Labels that suit a metric: a rare class comes to its right, and nothing is changed by luck."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score

from softprompt.evaluation import best_score, decide, fit_adjustment

SHARES = np.array([0.6, 0.36, 0.04])
COUNTS = [600, 360, 40]


def macro_f1(gold: NDArray[np.int64], given: NDArray[np.int64]) -> float:
    return float(f1_score(gold, given, average="macro", zero_division=0.0))


def accuracy(gold: NDArray[np.int64], given: NDArray[np.int64]) -> float:
    return float(accuracy_score(gold, given))


def drawn(rows: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Right probabilities of rows whose classes are as frequent as SHARES, and their classes."""
    rng = np.random.default_rng(seed)
    gold = rng.choice(3, rows, p=SHARES)
    # One measurement a class, normal around 1 for its own class and around 0 for others.
    seen = rng.normal(0, 1, (rows, 3)) + np.eye(3)[gold]
    weights = SHARES * np.exp(seen - 0.5)
    return weights / weights.sum(1, keepdims=True), gold


def test_without_an_adjustment_the_likeliest_choice_is_given() -> None:
    chances = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2], [0.0, 0.0, 1.0]])
    assert decide(chances).tolist() == [1, 0, 2]


def test_an_adjustment_is_added_to_the_logarithms() -> None:
    chances = np.array([[0.6, 0.3, 0.1], [0.6, 0.4, 0.0]])
    assert decide(chances, (0.0, 0.0, float(np.log(7)))).tolist() == [2, 0]


def test_macro_f1_of_other_rows_gains() -> None:
    fitted = fit_adjustment(*drawn(1000), COUNTS, macro_f1)
    chances, gold = drawn(20000, seed=1)
    plain, adjusted = (macro_f1(gold, decide(chances, given)) for given in ((), fitted))
    assert adjusted > plain + 0.03
    # No share of a fine grid is much better.
    whole = np.log(max(COUNTS) / np.array(COUNTS))
    grid = np.linspace(0, 1.5, 31)
    assert adjusted > max(macro_f1(gold, decide(chances, tuple(s * whole))) for s in grid) - 0.01


def test_the_share_is_the_same_for_all_choices() -> None:
    fitted = fit_adjustment(*drawn(1000), COUNTS, macro_f1)
    shares = np.array(fitted)[1:] / np.log(600 / np.array(COUNTS[1:]))
    assert fitted[0] == 0
    assert shares[0] == pytest.approx(shares[1])
    assert 0 < shares[0] <= 1


def test_accuracy_is_left_to_the_likeliest_choice() -> None:
    assert fit_adjustment(*drawn(1000), COUNTS, accuracy) == ()


def test_equally_frequent_choices_stay() -> None:
    assert fit_adjustment(*drawn(1000), [300, 300, 300], macro_f1) == ()


def test_few_rows_adjust_nothing() -> None:
    chances, gold = drawn(39)
    assert fit_adjustment(chances, gold, COUNTS, macro_f1) == ()
    # Nor do they promise what will not be.
    assert best_score(chances, gold.tolist(), COUNTS, macro_f1) == macro_f1(gold, decide(chances))


def test_a_choice_without_rows_and_a_certain_model_give_numbers() -> None:
    chances, gold = np.eye(3)[[0, 1, 2] * 20], [0, 1, 0] * 20
    assert np.isfinite(fit_adjustment(chances, gold, [10, 5, 0], macro_f1)).all()


def test_the_best_score_is_that_of_the_best_share() -> None:
    chances, gold = drawn(4000)
    whole = np.log(max(COUNTS) / np.array(COUNTS))
    at = [macro_f1(gold, decide(chances, tuple(share * whole))) for share in np.linspace(0, 1, 11)]
    best = best_score(chances, gold.tolist(), COUNTS, macro_f1)
    assert best == pytest.approx(max(np.mean(at[n - 1 : n + 2]) for n in range(1, 10)), abs=1e-9)
    assert best > at[0]


def test_equally_frequent_choices_are_scored_as_they_are() -> None:
    chances, gold = drawn(1000)
    plain = macro_f1(gold, decide(chances))
    assert best_score(chances, gold.tolist(), [5, 5, 5], macro_f1) == plain


def test_ranking_a_rare_class_well_counts_more_than_giving_it_twice() -> None:
    """One model gives the rare class for two of its rows, the other ranks all of them first."""
    gold = np.array([0] * 180 + [1] * 20)
    lucky = np.array([[0.9, 0.1]] * 200)
    lucky[180:182] = [0.4, 0.6]
    ranking = np.array([[0.9, 0.1]] * 180 + [[0.6, 0.4]] * 20)
    assert macro_f1(gold, decide(lucky)) > macro_f1(gold, decide(ranking))
    scores = [best_score(x, gold.tolist(), [180, 20], macro_f1) for x in (lucky, ranking)]
    assert scores[1] > scores[0]
