"""Fixed terms: needed where the reference has them, found as words of their own."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from softprompt.evaluation import score_generation, value
from softprompt.evaluation.metrics import Answered
from softprompt.evaluation.metrics.terms import term_adherence


def scored(terms: tuple[str, ...], *pairs: tuple[str, str]) -> dict[str, Any]:
    references, answers = zip(*pairs, strict=True)
    return term_adherence(Answered(references, answers, demands={"terms": terms}))


def test_a_row_needs_the_terms_of_its_reference() -> None:
    found = scored(
        ("xe hơi", "điện thoại"),
        ("một xe hơi và một điện thoại", "hai xe hơi"),
        ("xe hơi", "ô tô"),
        ("trời mưa", "trời nắng"),
    )
    assert found["term_adherence"] == pytest.approx((0.5 + 0) / 2)
    assert found["term_rows"] == 2
    assert found["term_precision"] == 1


def test_terms_that_nobody_asked_for_cost_precision() -> None:
    found = scored(("xe hơi", "điện thoại"), ("xe hơi", "xe hơi, điện thoại"), ("mưa", "xe hơi"))
    assert found["term_adherence"] == 1
    assert found["term_precision"] == pytest.approx(1 / 3)


def test_a_term_is_a_word_of_its_own() -> None:
    assert scored(("an",), ("an", "can and ban"))["term_adherence"] == 0
    assert scored(("C++",), ("C++", "in C++, fast"))["term_adherence"] == 1
    assert scored(("soft prompt",), ("soft prompt", "a soft\n prompt"))["term_adherence"] == 1


def test_a_capital_in_the_term_counts() -> None:
    assert scored(("AI",), ("AI", "ai đó"))["term_adherence"] == 0
    assert scored(("giảng viên",), ("giảng viên", "Giảng viên tốt"))["term_adherence"] == 1


def test_decomposed_letters_are_the_same_letters() -> None:
    answer = unicodedata.normalize("NFD", "giảng viên")
    assert scored(("giảng viên",), ("giảng viên", answer))["term_adherence"] == 1


def test_rows_without_terms_alone_are_no_failure() -> None:
    found = scored(("xe",), ("mưa", "nắng"))
    assert (found["term_adherence"], found["term_rows"]) == (1, 0)
    assert "term_precision" not in found


def test_it_is_an_entry_where_terms_are_demanded() -> None:
    assert "term_adherence" not in score_generation(["a"], ["a"])
    metric = score_generation(["a b", "b"], ["a", "b"], demands={"terms": ("a", "b")})
    assert value(metric, "term_adherence") == pytest.approx(0.75)


def test_a_term_within_a_longer_one_is_not_found() -> None:
    terms = ("hài lòng", "chưa hài lòng")
    found = scored(terms, ("sinh viên hài lòng", "sinh viên chưa hài lòng"))
    assert (found["term_adherence"], found["term_precision"]) == (0, 0)
    found = scored(terms, ("chưa hài lòng", "chưa hài lòng"))
    assert (found["term_adherence"], found["term_precision"]) == (1, 1)
    both = "chưa hài lòng, sau đó hài lòng"
    assert scored(terms, (both, both))["term_precision"] == 1
