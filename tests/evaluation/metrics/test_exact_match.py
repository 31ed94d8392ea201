"""Exact match after normalisation."""

from __future__ import annotations

import unicodedata

import pytest

from softprompt.evaluation import wilson
from softprompt.evaluation.metrics import Answered
from softprompt.evaluation.metrics.exact_match import exact_match


@pytest.mark.parametrize(
    ("reference", "prediction", "hit"),
    [
        ("Hà Nội", "Hà Nội", 1.0),
        ("Hà Nội", unicodedata.normalize("NFD", "Hà Nội"), 1.0),
        ("Hà Nội", "  Hà\nNội ", 1.0),
        ("Hà Nội", "Ha Noi", 0.0),
        ("Hà Nội", "hà nội", 0.0),
        ("Hà Nội", "Hà Nội.", 0.0),
    ],
)
def test_what_counts_as_equal(reference: str, prediction: str, hit: float) -> None:
    assert exact_match(Answered([reference], [prediction]))["exact_match"] == hit


def test_the_interval_is_wilsons() -> None:
    given = exact_match(Answered(["a", "b", "c"], ["a", "b", "x"]))
    assert given == {"exact_match": 2 / 3, "interval": list(wilson(2, 3))}
