"""Accuracy and its interval."""

from __future__ import annotations

from softprompt.evaluation import wilson
from softprompt.evaluation.metrics import Answered
from softprompt.evaluation.metrics.accuracy import accuracy


def test_accuracy_is_the_share_of_equal_labels() -> None:
    given = accuracy(Answered(["a", "b", "a"], ["a", "a", "a"], ["a", "b"]))
    assert given == {"accuracy": 2 / 3, "interval": list(wilson(2, 3))}
