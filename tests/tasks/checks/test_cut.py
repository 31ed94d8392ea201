from __future__ import annotations

import pytest

from .conftest import Find


def rows(length: int, count: int, end: str = "word") -> list[dict[str, object]]:
    texts = [f"{index} ".ljust(length - len(end), "a") + end for index in range(count)]
    return [{"text": text, "label": "ab"[index % 2]} for index, text in enumerate(texts)] + [
        {"text": "short", "label": "a"}
    ]


@pytest.mark.parametrize("length", [100, 255, 256, 280, 1000])
def test_texts_that_end_at_a_round_greatest_length_are_cut(find: Find, length: int) -> None:
    found = find("cut", rows(length, 3))
    assert [(p.row, p.column, p.severity) for p in found] == [
        (1, "text", "warning"), (2, "text", "warning"), (3, "text", "warning"),
    ]  # fmt: skip
    assert f"after {length} characters, as 3 rows do" in found[0].cause


def test_others_are_not(find: Find) -> None:
    assert find("cut", rows(100, 2)) == []  # too few
    assert find("cut", rows(101, 5)) == []  # not round
    assert find("cut", rows(100, 5, end=".")) == []  # ends as a sentence does
    assert find("cut", [*rows(100, 5), {"text": "b" * 150, "label": "a"}]) == []  # one is longer
