from __future__ import annotations

import codecs

import pytest

from softprompt.errors import DataError
from softprompt.tasks.decoding import decode


@pytest.mark.parametrize(
    "content",
    [
        "tốt".encode(),
        codecs.BOM_UTF8 + "tốt".encode(),
        "tốt".encode("utf-16"),
        codecs.BOM_UTF16_BE + "tốt".encode("utf-16-be"),
        "tốt".encode("utf-32"),
    ],
)
def test_utf_8_and_what_a_byte_order_mark_says(content: bytes) -> None:
    assert decode(content, source="f") == "tốt"


def test_a_named_encoding_is_taken() -> None:
    assert decode("café".encode("cp1252"), source="f", encoding="cp1252") == "café"
    assert decode(codecs.BOM_UTF8 + b"a", source="f", encoding="utf-8") == "a"


def test_another_encoding_is_told_with_its_line() -> None:
    content = "a\nb\ncafé".encode("cp1252")
    with pytest.raises(DataError, match=r"f.csv: line 3 is not UTF-8 text \(byte 0xE9\)") as error:
        decode(content, source="f.csv")
    assert "--encoding cp1252" in error.value.hint


def test_mixed_encodings_are_told_apart_from_a_foreign_one() -> None:
    content = "tốt\nxấu\n".encode() + "café\nnaïve\n".encode("cp1252")
    with pytest.raises(DataError, match=r"mixes encodings: line 3 .* while 2 other lines") as error:
        decode(content, source="f.csv")
    assert "(3, 4)" in error.value.hint


def test_text_that_is_not_in_the_named_encoding() -> None:
    with pytest.raises(DataError, match="line 2 is not ascii text"):
        decode("a\ntốt".encode(), source="f", encoding="ascii")
    with pytest.raises(DataError, match="is not utf-16"):
        decode(b"abc", source="f", encoding="utf-16")


def test_null_characters_are_told() -> None:
    with pytest.raises(DataError, match="line 1 holds a null character") as error:
        decode("text".encode("utf-16-le"), source="f")
    assert "--encoding utf-16" in error.value.hint
