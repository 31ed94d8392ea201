from __future__ import annotations

import pytest

from softprompt.errors import DataError
from softprompt.tasks.layout import Layout
from softprompt.tasks.rows import input_text, is_empty, make_rows
from softprompt.tasks.table import Table, make_table

TEXT = Layout(("text",), "label")
CHAT = Layout(("messages",), "messages", messages=True)


def table(*records: dict[str, object]) -> Table:
    return make_table("data.jsonl", records, "0")


def test_a_row_has_all_columns_as_text_and_its_number() -> None:
    first, second = make_rows(
        table({"text": " a ", "label": 1}, {"text": "b", "label": None, "extra": 2.5}), TEXT
    )
    assert first.columns == {"text": "a", "label": "1", "extra": ""}
    assert (first.answer, first.number, first.place) == ("1", 1, "data.jsonl: row 1")
    assert second.columns == {"text": "b", "label": "", "extra": "2.5"}
    assert second.answer is None


def test_an_invisible_answer_is_none() -> None:
    assert make_rows(table({"text": "a", "label": "\u200b"}), TEXT)[0].answer is None


def test_column_names_are_composed_and_stripped() -> None:
    assert table({" ca\u0302u ": "x"}).columns == ("câu",)


def test_a_list_where_text_is_wanted_is_refused() -> None:
    with pytest.raises(DataError, match="row 2 holds a list or an object in the column 'label'"):
        make_rows(table({"text": "a", "label": "b"}, {"text": "a", "label": ["b"]}), TEXT)


def test_a_conversation_is_answered_by_its_last_assistant_message() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": " hi "},
        {"role": "assistant", "content": "hello"},
    ]
    row = make_rows(table({"messages": messages}), CHAT)[0]
    assert row.answer == "hello"
    assert row.messages == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
    )
    assert input_text(row, ["messages"]) == "system: Be brief.\x1fuser: hi"


def test_a_conversation_without_an_answer_has_none() -> None:
    row = make_rows(table({"messages": [{"from": "human", "value": "hi"}]}), CHAT)[0]
    assert row.answer is None
    assert row.messages == ({"role": "user", "content": "hi"},)


def test_a_conversation_may_be_written_as_json() -> None:
    row = make_rows(table({"messages": '[{"role": "user", "content": "hi"}]'}), CHAT)[0]
    assert row.messages == ({"role": "user", "content": "hi"},)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("hello", "row 1 has no list of messages in the column 'messages'"),
        ([], "has no list of messages"),
        ([{"role": "user"}], "a message without a role and a content"),
        ([{"role": "user", "content": [{"type": "image"}]}], "a message without a role"),
        ([{"role": "assistant", "content": "hi"}], "an assistant message only"),
    ],
)
def test_what_is_no_conversation_is_refused(value: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make_rows(table({"messages": value}), CHAT)


def test_a_row_is_empty_when_nothing_is_visible_in_any_input() -> None:
    layout = Layout(("a", "b"), None)
    empty, half = make_rows(table({"a": " ", "b": "\u200b"}, {"a": "", "b": "x"}), layout)
    assert is_empty(empty, ["a", "b"])
    assert not is_empty(half, ["a", "b"])
