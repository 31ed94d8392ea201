from __future__ import annotations

import json

import pytest

from softprompt.errors import DataError
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.formats import read_table
from softprompt.tasks.table import Table

from ..conftest import Write

ROWS = [{"text": "tốt", "label": 1}, {"text": "xấu", "label": 0}]


def read(write: Write, content: str, name: str = "data.json") -> Table:
    return read_table(write(name, content), TaskConfig())


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(ROWS),
        json.dumps({"version": 1, "data": ROWS}),
        json.dumps({"text": {"0": "tốt", "1": "xấu"}, "label": {"0": 1, "1": 0}}),
        "\n".join(json.dumps(row) for row in ROWS),
        "\ufeff" + json.dumps(ROWS, ensure_ascii=False, indent=1).replace("\n", "\r\n"),
    ],
)
def test_every_usual_form_of_a_json_file(write: Write, content: str) -> None:
    assert list(read(write, content).records) == ROWS


def test_json_lines_skip_blank_lines_and_keep_odd_separators(write: Write) -> None:
    content = '{"text": "a\u2028b"}\r\n\r\n{"text": "c", "more": NaN}\n'
    table = read(write, content, "data.jsonl")
    assert [record["text"] for record in table.records] == ["a\u2028b", "c"]
    assert table.columns == ("text", "more")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.jsonl", '{"a": 1}\n{"a": 2\n', "d.jsonl: line 2 is not JSON: Expecting"),
        ("d.jsonl", '{"a": 1}\n[1]\n', "d.jsonl: line 2 holds list, not a JSON object"),
        ("d.jsonl", '{"a": ' + "9" * 5000 + "}\n", "d.jsonl: line 1 is not JSON that can be read"),
        ("d.json", '[{"a": 1},\n{"a" 2}]', "d.json: line 2 is not JSON: Expecting ':'"),
        ("d.json", "[" * 200_000, "d.json is not JSON that can be read"),
        ("d.json", "[1]", "d.json: record 1 is int, not an object"),
        ("d.json", '"text"', "d.json holds str, not a list of objects"),
        ("d.json", '{"a": [], "b": []}', "an object with 2 lists"),
        ("d.json", "[]", "d.json holds no rows"),
        ("d.jsonl", "\n\n", "is empty"),
    ],
)
def test_a_bad_file_is_refused(write: Write, name: str, content: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        read(write, content, name)
    assert message in error.value.message
    assert error.value.hint
