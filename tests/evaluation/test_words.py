"""What counts as a word."""

from __future__ import annotations

import unicodedata

import pytest

from softprompt.evaluation.words import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Món này NGON quá!", ["món", "này", "ngon", "quá"]),
        ("đường-phố, số 12/3", ["đường", "phố", "số", "12", "3"]),
        ("snake_case it's", ["snake", "case", "it", "s"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("  \n", []),
        ("?!", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_decomposed_accents_are_the_same_words() -> None:
    text = "Nguyễn Huệ ở Đà Nẵng"
    assert words(unicodedata.normalize("NFD", text)) == words(text)
    assert words(text) == ["nguyễn", "huệ", "ở", "đà", "nẵng"]
