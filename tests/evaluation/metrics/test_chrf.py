"""chrF against the formula of the paper, computed directly."""

from __future__ import annotations

import unicodedata
from collections import Counter

import pytest

pytest.importorskip("sacrebleu", reason="needs softprompt[generation]")

from softprompt.evaluation.metrics import Answered
from softprompt.evaluation.metrics.chrf import chrf


def direct(reference: str, prediction: str, orders: int = 6, beta: float = 2.0) -> float:
    """chrF2 of one pair: mean precision and recall of character 1- to 6-grams, white space out."""
    pairs = []
    for n in range(1, orders + 1):
        grams = [
            Counter(text[i : i + n] for i in range(len(text) - n + 1))
            for text in ("".join(reference.split()), "".join(prediction.split()))
        ]
        common = (grams[0] & grams[1]).total()
        if grams[0] and grams[1]:
            pairs.append((common / grams[1].total(), common / grams[0].total()))
    precision = sum(p for p, _ in pairs) / len(pairs)
    recall = sum(r for _, r in pairs) / len(pairs)
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


@pytest.mark.parametrize(
    ("reference", "prediction"),
    [
        ("món ăn rất ngon", "món này rất ngon"),
        ("the staff was friendly", "friendly staff"),
    ],
)
def test_a_pair_is_the_papers_formula(reference: str, prediction: str) -> None:
    given = chrf(Answered([reference], [prediction]))
    assert given["chrf"] == pytest.approx(direct(reference, prediction), abs=1e-6)


def test_equal_texts_score_one_and_accents_count() -> None:
    assert chrf(Answered(["quá đắt"], ["quá đắt"]))["chrf"] == pytest.approx(1.0)
    assert chrf(Answered(["quá đắt"], ["qua dat"]))["chrf"] < 0.5


def test_decomposed_text_is_the_same_text() -> None:
    text = "phở bò Nguyễn Huệ"
    given = chrf(Answered([text], [unicodedata.normalize("NFD", text)]))
    assert given["chrf"] == pytest.approx(1.0)
