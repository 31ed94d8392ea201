"""Logistic regression over columns that go together, beside a library's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from softprompt.training import logistic
from softprompt.training.logistic import logistic_path

PENALTIES = (1e-3, 1e-2, 1e-1)


def rows_of(rows: int, numbers: int, labels: int, seed: int = 0) -> tuple[Any, Any]:
    """Standardised rows whose columns go together, and labels that a few of them say."""
    made = np.random.default_rng(seed)
    mixed = made.normal(size=(rows, 6)) @ made.normal(size=(6, numbers))
    values = mixed + 0.1 * made.normal(size=(rows, numbers))
    values = (values - values.mean(0)) / values.std(0)
    rank = mixed[:, 0] + made.normal(size=rows)
    gold = np.searchsorted(np.quantile(rank, np.arange(1, labels) / labels), rank)
    return values.astype(np.float32), gold


@pytest.mark.parametrize("labels", [2, 3, 4])
@pytest.mark.parametrize(("rows", "numbers"), [(60, 90), (200, 40)])
def test_it_is_a_librarys(rows: int, numbers: int, labels: int) -> None:
    values, gold = rows_of(rows, numbers, labels)
    found = logistic_path(torch.from_numpy(values), torch.from_numpy(gold), PENALTIES)
    for penalty, (weight, bias) in zip(PENALTIES, found, strict=True):
        # For two labels the library has one row of weights, here each has its own.
        times = 2 if labels == 2 else 1
        library = LogisticRegression(C=times * penalty, max_iter=10_000, tol=1e-8)
        expected = library.fit(values.astype(np.float64), gold).predict_log_proba(values)
        np.testing.assert_allclose(
            log_softmax(values @ weight.T + bias, axis=1), expected, atol=2e-3
        )


def test_it_takes_fewer_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    values, gold = rows_of(150, 300, 3)
    steps = []

    def counted(*given: Any, **options: Any) -> Any:
        found = minimize(*given, **options)
        steps.append(found.nit)
        return found

    monkeypatch.setattr(logistic, "minimize", counted)
    for _ in logistic_path(torch.from_numpy(values), torch.from_numpy(gold), PENALTIES):
        pass
    library = [LogisticRegression(C=p, max_iter=10_000).fit(values, gold) for p in PENALTIES]
    assert sum(steps) < 0.75 * sum(int(one.n_iter_[0]) for one in library)


def test_numbers_that_say_nothing_leave_the_frequencies() -> None:
    gold = torch.tensor([0, 0, 0, 1])
    ((weight, bias),) = logistic_path(torch.zeros(4, 5), gold, (1e-2,))
    assert not weight.any()
    np.testing.assert_allclose(log_softmax(bias), np.log([0.75, 0.25]), atol=1e-3)
