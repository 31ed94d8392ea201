"""Expected calibration error on cases counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from softprompt.evaluation.metrics import Answered
from softprompt.evaluation.metrics.calibration import calibration


def ece(confidences: list[float], right: list[bool]) -> float:
    """The error of a model of two labels that always chooses "a"."""
    chances = np.array([[c, 1 - c] for c in confidences])
    references = ["a" if hit else "b" for hit in right]
    predictions = ["a"] * len(right)
    return float(calibration(Answered(references, predictions, ["a", "b"], chances))["ece"])


def test_two_bins_counted_by_hand() -> None:
    # 0.9 and 0.91 share a bin, one of two is right: gap 0.405, weight 2/3; 0.6 is right: gap 0.4.
    assert ece([0.9, 0.91, 0.6], [True, False, True]) == pytest.approx(2 / 3 * 0.405 + 1 / 3 * 0.4)


def test_an_upper_edge_belongs_to_the_bin_below() -> None:
    # The ninth bin ends at 9/15 = 0.6, so 0.6 and 0.58 share it and their gaps nearly cancel.
    assert ece([0.6, 0.58], [True, False]) == pytest.approx((0.58 - 0.4) / 2)


def test_it_is_the_papers_loop_over_bins() -> None:
    rng = np.random.default_rng(0)
    confidences = rng.uniform(0.5, 1.0, 400)
    right = rng.random(400) < confidences**2
    expected = 0.0
    for low, high in zip(np.arange(15) / 15, np.arange(1, 16) / 15, strict=True):
        inside = (confidences > low) & (confidences <= high)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidences[inside].mean())
    assert ece(confidences.tolist(), right.tolist()) == pytest.approx(expected)


def test_a_sure_model_that_is_right_has_none() -> None:
    assert ece([1.0, 1.0], [True, True]) == 0.0


def test_a_sure_model_that_is_wrong_has_all() -> None:
    assert ece([1.0, 1.0], [False, False]) == 1.0


def test_opposite_gaps_in_one_bin_cancel_and_in_two_bins_add() -> None:
    assert ece([0.75, 0.75, 0.75, 0.75], [True, True, True, False]) == pytest.approx(0.0)
    assert ece([0.95, 0.55], [False, True]) == pytest.approx((0.95 + 0.45) / 2)


def test_without_probabilities_there_is_none() -> None:
    assert calibration(Answered(["a"], ["a"], ["a", "b"])) == {"ece": None}
