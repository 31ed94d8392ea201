"""ROUGE against the library where its tokenizer is right, and by hand where it is not."""

from __future__ import annotations

import unicodedata

import pytest

pytest.importorskip("rouge_score", reason="needs softprompt[generation]")

from rouge_score.rouge_scorer import RougeScorer

from softprompt.evaluation.metrics import Answered
from softprompt.evaluation.metrics.rouge import rouge

ENGLISH = [
    ("the quick brown fox jumps over the dog", "a quick fox jumped over the lazy dog"),
    ("service was slow, but the staff apologised", "the staff apologised for slow service"),
    ("nothing in common", "entirely different words"),
]


def test_english_is_what_the_library_says() -> None:
    references, predictions = zip(*ENGLISH, strict=True)
    given = rouge(Answered(references, predictions))
    library = RougeScorer(["rouge1", "rougeL"])
    for name in ("rouge1", "rougeL"):
        scores = [library.score(a, b)[name].fmeasure for a, b in ENGLISH]
        assert given[name] == pytest.approx(sum(scores) / len(scores))


def test_vietnamese_words_that_differ_in_accents_alone_do_not_match() -> None:
    # With every letter outside ASCII deleted, both sides read "m" and the score is 1.
    reference, prediction = "mẹ mệ", "mà mã"
    stripped = RougeScorer(["rouge1"]).score(reference, prediction)["rouge1"].fmeasure
    assert stripped == 1.0
    assert rouge(Answered([reference], [prediction]))["rouge1"] == 0.0


def test_vietnamese_is_counted_by_words() -> None:
    # Four of five words on each side; in order, "đồ ăn rất" and "ngon" make four as well.
    given = rouge(Answered(["đồ ăn rất là ngon"], ["đồ ăn ở rất ngon"]))
    assert given["rouge1"] == pytest.approx(4 / 5)
    assert given["rougeL"] == pytest.approx(4 / 5)
    turned = rouge(Answered(["đồ ăn rất ngon"], ["ngon rất ăn đồ"]))
    assert turned["rouge1"] == pytest.approx(1.0)
    assert turned["rougeL"] == pytest.approx(1 / 4)


def test_decomposed_text_is_the_same_text() -> None:
    text = "phở bò Nguyễn Huệ"
    given = rouge(Answered([text], [unicodedata.normalize("NFD", text)]))
    assert given["rouge1"] == given["rougeL"] == 1.0


def test_an_empty_answer_scores_nothing() -> None:
    given = rouge(Answered(["một hai"], [""]))
    assert given["rouge1"] == given["rougeL"] == 0.0


def test_the_mean_lies_in_its_interval() -> None:
    given = rouge(Answered(["a b"] * 40, ["a b"] * 30 + ["a c"] * 10))
    for name in ("rouge1", "rougeL"):
        low, high = given[f"{name}_interval"]
        assert low < given[name] < high
