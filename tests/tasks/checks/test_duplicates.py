from __future__ import annotations

from ..conftest import reviews
from .conftest import Find


def test_repeated_rows_are_one_problem_a_group(find: Find) -> None:
    rows = reviews(20)
    rows += [dict(rows[3]), {**rows[3], "text": f" {rows[3]['text']}\n"}, dict(rows[5])]
    found = find("duplicates", rows)
    assert [(p.row, p.column) for p in found] == [(4, "text"), (6, "text")]
    assert found[0].cause == "The same input and answer stand again in rows 21, 22 (train)."
    assert found[1].cause == "The same input and answer stand again in row 23 (train)."


def test_the_same_input_with_another_label_is_no_duplicate(find: Find) -> None:
    rows = reviews(20)
    assert find("duplicates", [*rows, {**rows[0], "label": "bad"}]) == []
