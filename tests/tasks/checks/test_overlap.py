from __future__ import annotations

from ..conftest import reviews
from .conftest import Find


def test_a_test_row_that_is_also_a_training_row_is_named(find: Find) -> None:
    rows = reviews(20)
    (problem,) = find("overlap", rows, test=[{"text": "new", "label": "good"}, dict(rows[6])])
    assert (problem.source, problem.row, problem.column) == ("test.jsonl", 2, "text")
    assert problem.cause == "This test row has the same input as data.jsonl: row 7 (train)."


def test_duplicates_within_a_file_never_overlap(find: Find) -> None:
    rows = reviews(100)
    assert find("overlap", rows * 2, validation_share=0.2, test_share=0.2) == []
