from __future__ import annotations

from ..conftest import reviews
from .conftest import Find


def test_changed_labels_are_found_and_no_others(find: Find) -> None:
    rows = reviews(600)
    for index in (10, 55, 120):
        rows[index]["label"] = "bad" if rows[index]["label"] == "good" else "good"
    found = find("suspects", rows)
    assert {problem.row for problem in found} == {11, 56, 121}
    assert {problem.column for problem in found} == {"label"}
    assert "The label 'bad' looks wrong: other rows speak for 'good'" in " ".join(
        problem.cause for problem in found
    )


def test_small_classes_and_free_answers_are_not_judged(find: Find) -> None:
    assert find("suspects", reviews(30)) == []
    rows = [{"en": f"word {index}", "vi": f"từ {index}"} for index in range(60)]
    assert find("suspects", rows, target="vi") == []
