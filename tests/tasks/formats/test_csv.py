from __future__ import annotations

import codecs
import hashlib

import pytest

from softprompt.errors import DataError
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.formats import read_table
from softprompt.tasks.table import Table

from ..conftest import Write


def records(table: Table) -> list[dict[str, object]]:
    return [dict(record) for record in table.records]


def read(write: Write, content: str | bytes, name: str = "data.csv", **settings: object) -> Table:
    return read_table(write(name, content), TaskConfig.from_settings(settings))


TWO = [{"text": "tốt, lắm", "label": "1"}, {"text": "xấu", "label": "0"}]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_any_delimiter_line_end_and_mark(
    write: Write, delimiter: str, end: str, mark: str, suffix: str
) -> None:
    lines = ["text{}label", '"tốt, lắm"{}1', "xấu{}0", ""]
    content = mark + end.join(line.format(delimiter) for line in lines)
    assert records(read(write, content, f"data.{suffix}")) == TWO


def test_an_unusual_delimiter_can_be_named(write: Write) -> None:
    assert records(read(write, "text~label\na~1\n", delimiter="~")) == [{"text": "a", "label": "1"}]


def test_quoted_fields_may_hold_line_ends_delimiters_and_quotes(write: Write) -> None:
    content = 'text,label\r\n"one\r\ntwo, ""three""",1\r\n\r\nfour,2\r\n'
    assert records(read(write, content)) == [
        {"text": 'one\r\ntwo, "three"', "label": "1"},
        {"text": "four", "label": "2"},
    ]


def test_tab_separated_text_with_plain_quotes_is_read_line_by_line(write: Write) -> None:
    content = 'sentence\tlabel\n"begin \t1\nit "is" so\t0\n" end\t1\n'
    assert [record["sentence"] for record in read(write, content, "d.tsv").records] == [
        '"begin ',
        'it "is" so',
        '" end',
    ]


def test_a_comma_file_with_even_lines_and_stray_quotes_is_read_as_it_stands(write: Write) -> None:
    content = 'text,label\n"so" he said,1\nfine,0\n'
    assert records(read(write, content))[0] == {"text": '"so" he said', "label": "1"}


def test_one_column_is_a_column_even_where_its_texts_hold_commas(write: Write) -> None:
    assert records(read(write, 'text\n"well, yes"\nno\n')) == [
        {"text": "well, yes"},
        {"text": "no"},
    ]


def test_a_column_without_a_name_gets_one(write: Write) -> None:
    assert read(write, ",text,label\n0,a,1\n").columns == ("column 1", "text", "label")


def test_the_digest_is_that_of_the_file(write: Write) -> None:
    content = codecs.BOM_UTF8 + b"text,label\na,1\n"
    assert read(write, content).digest == hashlib.sha256(content).hexdigest()


def test_a_long_field_is_read_whole(write: Write) -> None:
    table = read(write, f"text,label\n{'a' * 200_000},1\n")
    assert len(str(table.records[0]["text"])) == 200_000


def test_a_named_encoding_is_used(write: Write) -> None:
    table = read(write, "text,label\ncafé,1\n".encode("cp1252"), encoding="cp1252")
    assert table.records[0]["text"] == "café"


@pytest.mark.parametrize(
    ("content", "settings", "message", "hint"),
    [
        (
            "text,label\na,1\nb,2\n",
            {"delimiter": ";"},
            "With the delimiter ';' data.csv has one column only: 'text,label'",
            "The delimiter is likely ','",
        ),
        (
            "text\tlabel\na\t1\n",
            {"delimiter": ","},
            "has one column only",
            "The delimiter is likely tab",
        ),
        ("text,label\na,1\nb,c,2\n", {}, "line 3 has 3 fields, the header has 2", "double quotes"),
        ('text,label\n"a\nb",1\nc\n', {}, "line 4 has 1 field,", "double quotes"),
        ('text,label\n"a",1\n"b,2\n', {}, "opens in the row at line 3 is never closed", "Close it"),
        ('text,label\n"a"b,c,1\n', {}, "line 2 has text after a closing double quote", "twice"),
        ("text,text\na,1\n", {}, "two columns with the name 'text'", "Rename one"),
        ("text,label\n", {}, "data.csv holds no rows", "few dozen rows"),
        ("", {}, "data.csv is empty", "few dozen rows"),
        (codecs.BOM_UTF16_LE, {}, "data.csv is empty", "header line"),
        ("\ufeff\r\n \n", {}, "data.csv is empty", "few dozen rows"),
        (b"text,label\n\xff\xfe,1\n", {}, "line 2 is not UTF-8", "--encoding"),
        ("text,label\ntốt,1\n".encode() + b"caf\xe9,2\n", {}, "mixes encodings: line 3", "(3)"),
    ],
)
def test_a_bad_file_is_refused_with_its_cure(
    write: Write, content: str | bytes, settings: dict[str, str], message: str, hint: str
) -> None:
    with pytest.raises(DataError) as error:
        read(write, content, **settings)
    assert message in error.value.message
    assert hint in error.value.hint
