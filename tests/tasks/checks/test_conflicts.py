from __future__ import annotations

from ..conftest import reviews
from .conftest import Find


def test_the_same_text_with_another_label_is_named_with_both_rows(find: Find) -> None:
    rows = reviews(20)
    (problem,) = find("conflicts", [*rows, {**rows[0], "label": "bad"}])
    assert (problem.row, problem.column, problem.severity) == (1, "label", "warning")
    assert problem.cause == (
        "The input has the label 'good' here, and 'bad' in data.jsonl: row 21."
    )


def test_also_across_files(find: Find) -> None:
    rows = reviews(20)
    (problem,) = find("conflicts", rows, test=[{**rows[4], "label": "bad"}])
    assert "'bad' in test.jsonl: row 1" in problem.cause


def test_free_answers_may_differ(find: Find) -> None:
    rows = [{"en": "hi", "vi": f"chào {index}"} for index in range(9)]
    assert find("conflicts", rows, target="vi") == []
