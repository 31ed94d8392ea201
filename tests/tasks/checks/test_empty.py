from __future__ import annotations

from ..conftest import reviews
from .conftest import Find


def test_empty_inputs_and_answers_are_errors_with_row_and_column(find: Find) -> None:
    rows = reviews()
    rows[2]["text"], rows[5]["label"] = "\u200b ", None
    found = [(p.severity, p.row, p.column, p.cause) for p in find("empty", rows)]
    assert found == [
        ("error", 3, "text", "The input is empty."),
        ("error", 6, "label", "The answer is empty."),
    ]
    assert {p.severity for p in find("empty", rows, drop_empty=True)} == {"warning"}
    assert "--drop-empty" in find("empty", rows)[0].cure


def test_one_empty_column_of_several_is_a_warning(find: Find) -> None:
    rows = reviews(title="a title")
    rows[0]["title"] = ""
    (problem,) = find("empty", rows, input="title,text", target="label")
    assert (problem.severity, problem.row, problem.column) == ("warning", 1, "title")


def test_a_word_for_a_missing_value_is_a_warning(find: Find) -> None:
    rows = reviews()
    rows[7]["text"] = "NaN"
    (problem,) = find("empty", rows)
    assert problem.cause == "The text 'NaN' looks like a missing value."


def test_full_rows_are_not_named(find: Find) -> None:
    assert find("empty", reviews()) == []
