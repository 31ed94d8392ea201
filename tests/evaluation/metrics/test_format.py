"""Formats as expressions and as schemas; absent where none is demanded."""

from __future__ import annotations

import builtins
import unicodedata
from typing import Any

import pytest

from softprompt.errors import UsageError
from softprompt.evaluation import score_generation, value
from softprompt.evaluation.metrics import Answered
from softprompt.evaluation.metrics.format import format_adherence

SCHEMA = {
    "type": "object",
    "properties": {"tone": {"enum": ["vui", "buồn"]}, "count": {"type": "integer"}},
    "required": ["tone"],
    "additionalProperties": False,
}


def adherence(wanted: Any, *texts: str) -> float:
    answered = Answered([""] * len(texts), texts, demands={"format": wanted})
    return float(format_adherence(answered)["format_adherence"])


def test_an_expression_matches_the_whole_answer() -> None:
    texts = ["AB-12", " AB-12\n", "AB-123", "see AB-12", "ab-12"]
    assert adherence(r"[A-Z]{2}-\d\d", *texts) == 2 / 5


def test_decomposed_letters_are_the_same_letters() -> None:
    assert adherence("Tóm tắt: .+", unicodedata.normalize("NFD", "Tóm tắt: mưa lớn")) == 1
    assert adherence(unicodedata.normalize("NFD", "Tóm tắt: .+"), "Tóm tắt: mưa lớn") == 1


def test_a_schema_takes_one_json_value() -> None:
    pytest.importorskip("jsonschema")
    good = ['{"tone": "vui"}', ' {"tone": "buồn", "count": 2} ']
    bad = ['{"tone": "chán"}', "{}", '{"tone": "vui"} more', "vui", '{"tone": "vui", "x": 1}']
    assert adherence(SCHEMA, *good) == 1
    assert adherence(SCHEMA, *bad) == 0
    assert adherence(SCHEMA, *good, *bad) == 2 / 7


def test_deep_nesting_is_no_format_and_no_crash() -> None:
    pytest.importorskip("jsonschema")
    assert adherence(SCHEMA, "[" * 200_000) == 0


def test_nothing_is_said_where_nothing_is_demanded() -> None:
    metric = score_generation(["a"], ["a"])
    assert not any(name.startswith("format") for name in metric)
    with pytest.raises(UsageError, match="format_adherence"):
        value(metric, "format_adherence")


def test_it_is_an_entry_that_may_choose_a_prompt() -> None:
    metric = score_generation(["x"] * 4, ["1", "2", "b", "c"], demands={"format": r"\d"})
    assert value(metric, "format_adherence") == 0.5
    low, high = metric["format_adherence_interval"]
    assert 0 < low < 0.5 < high < 1


@pytest.mark.parametrize("target", ["#/$defs/none", "#", "http://127.0.0.1:9/schema.json"])
def test_a_schema_that_leads_nowhere_accepts_nothing(target: str) -> None:
    pytest.importorskip("jsonschema")
    metric = score_generation(["x"], ["{}"], demands={"format": {"$ref": target}})
    assert metric["format_adherence"] == 0


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("jsonschema"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    metric = score_generation(["x"], ["{}"], demands={"format": SCHEMA})
    assert metric["skipped"]["format"] == "pip install 'softprompt[generation]'"
    with pytest.raises(UsageError, match="not installed"):
        value(metric, "format_adherence")
    # An expression needs no library.
    assert score_generation(["x"], ["1"], demands={"format": r"\d"})["format_adherence"] == 1
