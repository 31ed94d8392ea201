from __future__ import annotations

import pytest

from softprompt.tasks.text import as_text, is_blank, normalise


def test_text_is_composed_stripped_and_has_plain_line_ends() -> None:
    assert normalise(" tie\u0302\u0301ng\r\nVie\u0323\u0302t\rnam\u00a0") == "tiếng\nViệt\nnam"


def test_half_a_surrogate_pair_becomes_text_that_can_be_written() -> None:
    assert normalise("a\ud800b") == "a\ufffdb"
    assert normalise("\U0001f600") == "\U0001f600"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (float("nan"), ""),
        (1, "1"),
        (1.0, "1"),
        (1.5, "1.5"),
        (float("inf"), "inf"),
        (True, "true"),
        (["ê"], '["ê"]'),
    ],
)
def test_cells_as_text(value: object, text: str) -> None:
    assert as_text(value) == text


def test_blank_is_what_nobody_sees() -> None:
    assert is_blank(" \u200b\ufeff\t")
    assert not is_blank(".")
