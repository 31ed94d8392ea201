from __future__ import annotations

import pytest

from .conftest import Find


def rows(common: str, rare: str, counts: tuple[int, int] = (40, 4)) -> list[dict[str, object]]:
    labels = [common] * counts[0] + ["something else"] * 40 + [rare] * counts[1]
    return [{"text": f"text {index}", "label": label} for index, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("common", "rare", "difference"),
    [
        ("positive", "Positive", "case, spaces or signs only"),
        ("very good", "very-good", "case, spaces or signs only"),
        ("positive", "postive", "one letter"),
        ("positive", "posiitive", "one letter"),
        ("positive", "posetive", "one letter"),
        ("positive", "positvie", "one letter"),
        ("tích cực", "tich cực", "one letter"),
    ],
)
def test_two_spellings_of_one_label(find: Find, common: str, rare: str, difference: str) -> None:
    (problem,) = find("spelling", rows(common, rare))
    assert (problem.severity, problem.row, problem.column) == ("warning", 81, "label")
    assert problem.cause == (
        f"The label {rare!r} (4 rows) differs from {common!r} (40 rows) in {difference}."
    )


@pytest.mark.parametrize(
    ("common", "rare"),
    [("good", "bad"), ("1", "2"), ("class1", "class2"), ("class 1", "class 11"), ("+", "-")],
)
def test_two_labels(find: Find, common: str, rare: str) -> None:
    assert find("spelling", rows(common, rare)) == []


def test_two_common_labels_may_differ_in_a_letter(find: Find) -> None:
    assert find("spelling", rows("house", "mouse", (40, 40))) == []
