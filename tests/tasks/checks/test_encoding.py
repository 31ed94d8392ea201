from __future__ import annotations

import unicodedata

import pytest

from ..conftest import reviews
from .conftest import Find


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("cà phê ngon", "cp1252"),
        ("cà phê ngon", "latin-1"),
        ("đồ uống tệ", "latin-1"),
        ("tiếng Việt", "cp1252"),
        ("the “best” café", "latin-1"),
        ("naïve – no", "cp1252"),
    ],
)
def test_utf_8_read_as_something_else_is_told(find: Find, text: str, codec: str) -> None:
    rows = reviews(20)
    rows[3]["text"] = text.encode().decode(codec)
    problem = find("encoding", rows)[0]
    assert (problem.row, problem.column, problem.severity) == (4, "text", "warning")
    assert "decoded wrongly" in problem.cause


def test_lost_characters_are_told(find: Find) -> None:
    rows = reviews(20)
    rows[3]["text"], rows[8]["text"] = "caf\ufffd", "a\x08b"
    found = find("encoding", rows)
    assert [(p.row, p.cause.split()[2]) for p in found] == [(4, "U+FFFD"), (9, "U+0008")]


@pytest.mark.parametrize("text", ["Ünal’s café – “tốt”…", "Æther ± 5 °C", "đẹp Ă Â Ê", "ﬁn ½"])
def test_proper_text_is_left_alone(find: Find, text: str) -> None:
    rows = reviews(20)
    rows[3]["text"] = unicodedata.normalize("NFC", text)
    assert find("encoding", rows) == []


def test_text_that_is_not_composed_is_counted(find: Find) -> None:
    rows = reviews(20)
    for index in (4, 9):
        rows[index]["text"] = unicodedata.normalize("NFD", f"tiếng Việt {index}")
    (problem,) = find("encoding", rows)
    assert (problem.source, problem.row, problem.column) == ("data.jsonl", 5, "text")
    assert problem.cause.startswith("Not in Unicode NFC: 2 texts,")
