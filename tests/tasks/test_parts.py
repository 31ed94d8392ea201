from __future__ import annotations

import pytest

from softprompt.errors import DataError
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.parts import read_parts, read_rows

from .conftest import Write, reviews


def test_rows_for_prediction_keep_all_columns_and_need_no_answer(write: Write) -> None:
    path = write("new.csv", "id,text\n7,fine\n8,\n")
    file = read_rows(path, inputs=["text"], target="label")
    assert [row.columns for row in file.rows] == [
        {"id": "7", "text": "fine"},
        {"id": "8", "text": ""},
    ]
    assert [row.answer for row in file.rows] == [None, None]
    assert file.columns == ("id", "text")
    assert len(file.digest) == 64


def test_rows_for_evaluation_have_their_answers(write: Write) -> None:
    file = read_rows(write("d.jsonl", reviews(4)), inputs=["text"], target="label")
    assert [row.answer for row in file.rows] == ["good", "bad", "good", "bad"]


def test_a_file_of_another_part_needs_the_same_columns(write: Write) -> None:
    data = write("d.jsonl", reviews())
    test = write("t.csv", "text,labels\na,good\n")
    with pytest.raises(
        DataError, match=r"t.csv has no column 'label', which the training"
    ) as error:
        read_parts(data, TaskConfig(test=str(test)))
    assert "Did you mean 'labels'?" in error.value.hint


def test_hashes_are_by_file_name_or_by_path_where_names_are_equal(write: Write) -> None:
    data = write("d.jsonl", reviews())
    (data.parent / "other").mkdir()
    test, same = write("t.jsonl", reviews(4)), write("other/d.jsonl", reviews(6))
    assert set(read_parts(data, TaskConfig(test=str(test))).hashes) == {"d.jsonl", "t.jsonl"}
    assert set(read_parts(data, TaskConfig(test=str(same))).hashes) == {str(data), str(same)}
