"""Overlap of words on cases counted by hand."""

from __future__ import annotations

import pytest

from softprompt.evaluation.metrics import Answered
from softprompt.evaluation.metrics.token_f1 import token_f1


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        # Two of three reference words, two of four given ones: 2 * 2 / (3 + 4).
        ("quán rất ngon", "quán này ngon lắm", 4 / 7),
        # A repeated word counts as often as both have it.
        ("ngon ngon", "ngon ngon ngon", 4 / 5),
        ("Món Ngon!", "món ngon", 1.0),
        ("má", "mà", 0.0),
        ("the cat", "cat", 2 / 3),
        ("", "", 1.0),
        ("", "ngon", 0.0),
    ],
)
def test_pairs(reference: str, prediction: str, expected: float) -> None:
    given = token_f1(Answered([reference], [prediction]))["token_f1"]
    assert given == pytest.approx(expected)


def test_the_mean_lies_in_its_interval() -> None:
    given = token_f1(Answered(["a b"] * 40, ["a b"] * 30 + ["a c"] * 10))
    assert given["token_f1"] == pytest.approx(0.875)
    low, high = given["token_f1_interval"]
    assert 0.75 < low < 0.875 < high < 1.0
