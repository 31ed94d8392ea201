from __future__ import annotations

from ..conftest import reviews
from .conftest import Find


def rare(count: int) -> list[dict[str, object]]:
    return [{"text": f"odd {index}", "label": "odd"} for index in range(count)]


def test_a_single_row_is_an_error_and_a_few_are_a_warning(find: Find) -> None:
    for count, severity in ((1, "error"), (2, "warning"), (7, "warning")):
        (problem,) = find("classes", [*reviews(), *rare(count)])
        assert (problem.severity, problem.row, problem.column) == (severity, 121, "label")
        assert f"'odd' has {count} training row" in problem.cause
    assert find("classes", [*reviews(), *rare(8)]) == []


def test_an_unknown_label_of_the_test_file_is_an_error(find: Find) -> None:
    test = [{"text": "a", "label": "good"}, {"text": "b", "label": "bda"}]
    found = find("classes", reviews(), test=test)
    assert [(p.severity, p.source, p.row) for p in found] == [
        ("error", "test.jsonl", 2), ("warning", None, None),
    ]  # fmt: skip
    assert found[0].cause == "No training row has the label 'bda'."
    assert "Did you mean 'bad'?" in found[0].cure
    assert found[1].cause == "The label 'bad' has no test rows."


def test_a_single_label_is_an_error(find: Find) -> None:
    rows = [{**row, "label": "good"} for row in reviews()]
    (problem,) = find("classes", rows)
    assert (problem.severity, problem.cause) == (
        "error",
        "Every training row has the label 'good'.",
    )
