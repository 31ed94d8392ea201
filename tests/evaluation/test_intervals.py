"""Intervals and the paired test against published formulas and counted cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from softprompt.evaluation import bootstrap, mcnemar, paired, score_classification, swapped, wilson
from softprompt.evaluation.intervals import widened


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (7, 10), (83, 100), (100, 100)])
def test_wilson_is_the_closed_formula(successes: int, n: int) -> None:
    z = 1.959963984540054
    p = successes / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = wilson(successes, n)
    assert low == pytest.approx(max(0.0, middle - half), abs=1e-12)
    assert high == pytest.approx(min(1.0, middle + half), abs=1e-12)


def test_wilson_widens_with_the_level() -> None:
    low, high = wilson(7, 10)
    lower, higher = wilson(7, 10, level=0.99)
    assert lower < low < 0.7 < high < higher


def test_bootstrap_of_a_mean_is_near_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, 400).tolist()
    error = float(np.std(values)) / math.sqrt(len(values))
    low, high = bootstrap(values)
    assert low == pytest.approx(np.mean(values) - 1.96 * error, abs=0.25 * error)
    assert high == pytest.approx(np.mean(values) + 1.96 * error, abs=0.25 * error)


def test_bootstrap_depends_on_its_seed_alone() -> None:
    values = np.random.default_rng(2).random(50).tolist()
    assert bootstrap(values, seed=3) == bootstrap(values, seed=3)
    assert bootstrap(values, seed=3) != bootstrap(values, seed=4)


def test_bootstrap_takes_another_statistic() -> None:
    low, high = bootstrap([1.0, 1.0, 1.0, 1.0, 100.0], statistic=np.median)
    assert low == 1.0
    assert high in (1.0, 100.0)


@pytest.mark.parametrize("values", [[0.25], [0.25, 0.25, 0.25]])
def test_bootstrap_without_spread_is_the_point(values: list[float]) -> None:
    assert bootstrap(values) == (0.25, 0.25)


def test_few_rows_that_are_all_alike_are_not_certain() -> None:
    assert widened((0.2, 0.4), 5) == [0.2, 0.4]
    assert widened((1.0, 1.0), 5) == [wilson(5, 5)[0], 1.0]
    assert widened((0.0, 0.0), 13) == [0.0, wilson(0, 13)[1]]
    low, high = widened((0.25, 0.25), 8)
    assert low < 0.25 < high
    found = score_classification(list("aabba"), list("aabba"), ["a", "b"])
    assert found["macro_f1_interval"] == pytest.approx(found["interval"])


def test_mcnemar_counts_only_the_rows_where_they_differ() -> None:
    # Eight rows only the first has right, two only the second: twice the tail P(X <= 2) of
    # a binomial (10, 1/2), (1 + 10 + 45) / 1024.
    first = [True] * 8 + [False] * 2 + [True] * 30 + [False] * 5
    second = [False] * 8 + [True] * 2 + [True] * 30 + [False] * 5
    assert mcnemar(first, second) == pytest.approx(2 * 56 / 1024)
    assert mcnemar(second, first) == pytest.approx(2 * 56 / 1024)


def test_mcnemar_of_equals_is_one() -> None:
    assert mcnemar([True, False], [True, False]) == 1.0


def test_mcnemar_refuses_rows_that_do_not_match() -> None:
    with pytest.raises(ValueError, match="shorter"):
        mcnemar([True, False], [True])


def test_paired_scores_that_differ_only_by_sign_are_equally_good() -> None:
    assert paired([1.0, 0.0] * 20, [0.0, 1.0] * 20) > 0.5
    assert paired([0.5], [0.0]) == paired([0.0, 1.0], [0.0, 1.0]) == 1.0
    # All of ten differences have one sign: two of 2 ** 10 sign patterns are as extreme.
    assert paired([1.0] * 10, [0.0] * 10) == pytest.approx(2 / 2**10)


def test_answerers_that_are_alike_are_alike_in_any_score() -> None:
    values = np.concatenate([np.arange(100.0), np.arange(100.0)])
    assert swapped(100, lambda rows: float(values[rows].mean())) == 1.0
    values[100:] -= 1
    assert swapped(100, lambda rows: float(values[rows].mean())) == 1 / 2000
    noisy = np.concatenate([np.tile([1.0, -1.0], 50), np.zeros(100)])
    assert swapped(100, lambda rows: float(noisy[rows].mean())) > 0.5


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_few_rows_do_not_tell_answerers_apart(n: int) -> None:
    values = np.concatenate([np.ones(n), np.zeros(n)])
    # All differences have one sign: two of 2 ** n tosses are as extreme.
    found = swapped(n, lambda rows: float(values[rows].mean() ** 2))
    assert found == pytest.approx(2 / 2**n, abs=0.03)
    assert found > 0.05
