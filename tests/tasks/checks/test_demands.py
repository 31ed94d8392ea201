from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from softprompt.evaluation import unmet

from .conftest import Find


def rows(*answers: str) -> list[dict[str, object]]:
    return [{"prompt": f"text {n}", "completion": answer} for n, answer in enumerate(answers)]


CODES = rows("AB-1234", "CD-5678", "no code", "EF-9012")


def test_answers_that_do_not_keep_to_the_format_are_named(find: Find) -> None:
    found = find("demands", CODES, unmet=unmet, kind="generation", answer_format=r"[A-Z]{2}-\d{4}")
    assert [(p.row, p.severity, p.column) for p in found] == [(3, "warning", "completion")]
    assert "'no code'" in found[0].cause


def test_a_format_that_no_answer_keeps_is_an_error(find: Find) -> None:
    found = find("demands", CODES, unmet=unmet, kind="generation", answer_format=r"\d{4}")
    assert [p.severity for p in found] == ["error"] * 4


def test_terms_that_no_answer_has_are_named(find: Find) -> None:
    terms = ("code", "giảng viên", "AB-1234")
    found = find("demands", CODES, unmet=unmet, kind="generation", answer_terms=terms)
    assert [p.cause for p in found] == ["The term 'giảng viên' stands in no answer."]


@pytest.mark.parametrize("settings", [{}, {"answer_format": r"\d"}])
def test_what_is_not_demanded_or_looked_at_is_no_problem(
    find: Find, settings: Mapping[str, Any]
) -> None:
    assert find("demands", CODES, kind="generation", **settings) == []


def test_a_schema_is_not_looked_at_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(wanted: object) -> Sequence[str]:
        raise ImportError

    monkeypatch.setattr("softprompt.evaluation.demands.keeper", absent)
    assert unmet(["x"], {"format": {"type": "object"}}) == ([], [])
