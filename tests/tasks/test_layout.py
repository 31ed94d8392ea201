from __future__ import annotations

import pytest

from softprompt.errors import DataError
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.layout import Layout, find_layout, input_layout
from softprompt.tasks.table import Table


def table(*columns: str, **cells: object) -> Table:
    record = {name: cells.get(name, "x") for name in columns}
    return Table("data.csv", columns, (record,), "0")


def find(*columns: str, **settings: object) -> Layout:
    return find_layout(table(*columns), TaskConfig.from_settings(settings))


@pytest.mark.parametrize(
    ("columns", "inputs", "target"),
    [
        (("text", "label"), ("text",), "label"),
        (("Review", "Sentiment"), ("Review",), "Sentiment"),
        (("id", "sentence", "label", "split"), ("sentence",), "label"),
        (("title_and_text", "category"), ("title_and_text",), "category"),
        (("content", "rating"), ("content",), "rating"),
        (("text", "target"), ("text",), "target"),
        (("text", "label", "topic"), ("text",), "label"),
        (("prompt", "completion"), ("prompt",), "completion"),
        (("question", "answer"), ("question",), "answer"),
        (("passage", "question", "answer"), ("passage", "question"), "answer"),
        (("input", "output"), ("input",), "output"),
        (("source", "target"), ("source",), "target"),
        (("instruction", "input", "output"), ("instruction", "input"), "output"),
        (("instruction", "output"), ("instruction",), "output"),
    ],
)
def test_columns_are_told_by_their_names(
    columns: tuple[str, ...], inputs: tuple[str, ...], target: str
) -> None:
    layout = find(*columns)
    assert (layout.inputs, layout.target) == (inputs, target)


@pytest.mark.parametrize(
    ("columns", "template"),
    [
        (("text", "label"), "{text}\nLabel: {answer}"),
        (("prompt", "completion"), "{prompt}\n{answer}"),
        (
            ("passage", "question", "answer"),
            "Passage: {passage}\nQuestion: {question}\nAnswer: {answer}",
        ),
        (
            ("instruction", "input", "output"),
            "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n{answer}",
        ),
    ],
)
def test_each_layout_has_its_template(columns: tuple[str, ...], template: str) -> None:
    layout = find(*columns)
    assert layout.template is not None
    assert layout.template.text == template


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("en", "vi"), "leaves open which columns are the input and the answer"),
        (("text", "sentiment", "topic"), "text with sentiment; text with topic"),
        (("text", "review", "label"), "text with label; review with label"),
        (("text", "label", "question", "answer"), "leaves open what is meant"),
    ],
)
def test_what_names_leave_open_is_asked_for(columns: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        find(*columns)
    assert f"Its columns: {', '.join(columns)}." in error.value.message
    assert "--input and --target" in error.value.hint


def test_one_named_side_is_enough_where_the_other_is_clear() -> None:
    assert find("en", "vi", target="vi").inputs == ("en",)
    assert find("en", "vi", input="en").target == "vi"
    assert find("text", "sentiment", "topic", target="topic").inputs == ("text",)
    assert find("title", "body", "category", input="title,body").target == "category"
    assert find("passage", "question", "answer", target="answer").inputs == ("passage", "question")


def test_a_side_that_stays_open_is_asked_for() -> None:
    with pytest.raises(DataError, match="which column is the answer") as error:
        find("text", "a", "b", input="text")
    assert error.value.hint == "Name it with --target."
    with pytest.raises(DataError, match="which columns are the input") as error:
        find("a", "b", "label", target="label")
    assert error.value.hint == "Name them with --input."


def test_a_template_names_the_input() -> None:
    layout = find("en", "vi", "id", template="{en} = {answer}", target="vi")
    assert layout.inputs == ("en",)
    assert layout.template is not None
    assert layout.template.text == "{en} = {answer}"


@pytest.mark.parametrize(
    "settings",
    [{"input": "txt"}, {"template": "{txt}{answer}"}, {"target": "txt"}, {"slice": "txt"}],
)
def test_an_absent_column_is_named_with_the_nearest(settings: dict[str, str]) -> None:
    with pytest.raises(DataError, match=r"data.csv has no column 'txt'\.") as error:
        find("text", "label", **settings)
    assert "Did you mean 'text'?" in error.value.hint


def test_the_answer_must_not_be_an_input() -> None:
    with pytest.raises(DataError, match=r"'label' of data\.csv is also an input"):
        find("text", "label", input="text,label", target="label")
    with pytest.raises(DataError, match="also an input"):
        find("text", "label", template="{text} {label} {answer}", target="label")


def test_conversations_are_told_by_their_column() -> None:
    messages = [{"role": "user", "content": "hi"}]
    data = table("id", "messages", messages=messages)
    assert find_layout(data, TaskConfig()) == Layout(("messages",), "messages", messages=True)
    written = table("conversations", conversations='[{"from": "human", "value": "hi"}]')
    assert find_layout(written, TaskConfig()).messages
    assert not input_layout(table("text"), ["text"], None).messages


def test_columns_known_from_elsewhere() -> None:
    assert input_layout(table("text", "label"), ["text"], "label") == Layout(("text",), "label")
    assert input_layout(table("text"), ["text"], "label").target is None
    with pytest.raises(DataError, match="no column 'text'"):
        input_layout(table("body"), ["text"], None)
