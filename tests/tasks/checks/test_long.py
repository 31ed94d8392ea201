from __future__ import annotations

from ..conftest import reviews
from .conftest import Find


def letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def test_a_row_that_does_not_fit_is_an_error(find: Find) -> None:
    rows = reviews(20)
    rows[4]["text"] = "x" * 100
    # 100 of the text, 7 of "\nLabel:", 5 of " good", 1 of the end token
    (problem,) = find("long", rows, encode=letters, window=112)
    assert (problem.severity, problem.row) == ("error", 5)
    assert "takes 113 tokens (6 of them the answer), the window holds 112" in problem.cause
    assert "--drop-long" in problem.cure
    assert find("long", rows, encode=letters, window=113) == []


def test_slots_and_wordings_count(find: Find) -> None:
    rows = [{"text": "x" * 10, "label": "good"}] * 2 + [{"text": "y", "label": "bad"}] * 2
    settings = {"template": "{text}{prompt:8} {answer}", "choices": "good=excellent"}
    # 10 of the text, 8 of the slot, 10 of " excellent", 1 of the end token
    assert len(find("long", rows, encode=letters, window=28, target="label", **settings)) == 2
    assert find("long", rows, encode=letters, window=29, target="label", **settings) == []


def test_without_a_tokenizer_nothing_is_said(find: Find) -> None:
    assert find("long", reviews(20), window=1) == []
