"""Advice follows from the situation by rules, or from measurements where there are some."""

from __future__ import annotations

import copy
from dataclasses import fields
from typing import Any

import pytest

from softprompt.comparison.advice import OPTIONS, RULES, Situation, advise
from softprompt.comparison.report import VERSION
from softprompt.errors import UsageError


@pytest.mark.parametrize(
    ("situation", "choice"),
    [
        (Situation(rows=5), "hand_prompt"),
        (Situation(rows=5, hardware="none"), "hosted"),
        (Situation(rows=500, hardware="cpu", tasks=8), "soft_prompt"),
        (Situation(rows=100, changes="monthly"), "soft_prompt"),
        (Situation(rows=1000, hardware="gpu", quality="best", output="text"), "lora"),
        (Situation(rows=50_000, hardware="gpu", quality="best"), "full"),
        (Situation(rows=50_000, hardware="gpu", quality="best", tasks=10), "lora"),
        (Situation(rows=500, hardware="none", output="text"), "hosted"),
        (Situation(rows=500, hardware="none", private=True), "soft_prompt"),
    ],
)
def test_rules_of_thumb(situation: Situation, choice: str) -> None:
    found = advise(situation)
    assert found["choice"] == choice, found["points"]
    assert found["basis"] == "rules_of_thumb"
    assert found["reasons"]
    assert all(reason["points"] > 0 for reason in found["reasons"])
    assert found["measured"] is None


def test_texts_that_must_stay_rule_out_an_api() -> None:
    found = advise(Situation(rows=2, hardware="none", private=True))
    assert found["choice"] == "hand_prompt"
    assert found["excluded"] == ["hosted"]
    assert "hosted" not in found["points"]
    # Nobody else's machine may see them, so none is spoken of.
    private = advise(Situation(rows=300, hardware="none", private=True, tasks=5))
    assert "machine of your own first" in str(private)
    assert "somebody else" not in str(private)


def test_what_is_not_said_is_assumed_and_told() -> None:
    found = advise(Situation(rows=300, tasks=2))
    assert set(found["assumed"]) == {"hardware", "quality", "private", "output", "changes"}
    assert found["situation"]["rows"] == 300
    assert found["situation"]["hardware"] == "cpu"


def test_every_rule_speaks_of_ways_and_of_what_was_asked() -> None:
    for rule in RULES:
        assert set(rule.points) <= set(OPTIONS)
        assert any(rule.points.values())
        assert rule.of in {field.name for field in fields(Situation)}
    assert len({rule.name for rule in RULES}) == len(RULES)


def a_report(method: str, best: str, p_value: float | None) -> dict[str, Any]:
    told = {"test": {"macro_f1": 0.5, "n": 60}, "stored_bytes": 10, "seconds": {"training": 3.0}}
    return {
        "format": VERSION,
        "metric": "macro_f1",
        "methods": {name: copy.deepcopy(told) for name in ("majority", method, best)},
        "recommendation": {"method": method, "best": best, "p_value": p_value, "points": 1.5},
    }


@pytest.mark.parametrize(
    ("method", "choice"),
    [("few_shot", "hand_prompt"), ("lora_suffix", "lora"), ("full_prompt", "full")],
)
def test_measurements_decide(method: str, choice: str) -> None:
    found = advise(Situation(rows=5), a_report(method, "full", 0.3))
    assert found["choice"] == choice
    assert found["basis"] == "measurements"
    # Only what was said of the situation speaks beside measurements, and only of one way: a prompt
    # over a domain's model shares it with other tasks.
    told = {reason["rule"] for reason in (*found["reasons"], *found["against"])}
    assert told == (set() if method == "full_prompt" else {"few_rows"})
    assert found["measured"]["method"] == method
    assert found["measured"]["points_behind"] == 1.5
    assert found["measured"]["methods"][method]["seconds"] == 3.0


def test_the_best_quality_is_the_best_that_was_measured() -> None:
    report = a_report("lora", "full", 0.3)
    best = advise(Situation(quality="best"), report)
    assert (best["choice"], best["measured"]["cheapest"]) == ("full", "lora")
    assert advise(Situation(quality="good"), report)["choice"] == "lora"
    # Where nothing beats guessing beyond chance, the highest score means nothing either.
    guessed = advise(Situation(quality="best"), a_report("majority", "full", 0.4))
    assert guessed["choice"] is None


def test_what_speaks_against_the_measured_choice_is_told() -> None:
    found = advise(Situation(tasks=8), a_report("full", "full", None))
    assert found["choice"] == "full"
    assert [reason["rule"] for reason in found["against"]] == ["several_tasks"]
    assert advise(Situation(), a_report("full", "full", None))["against"] == []


def test_where_nothing_beats_guessing_another_model_is_needed() -> None:
    report = a_report("majority", "full", 0.4)
    # An API only where it is said that texts may leave.
    assert advise(Situation(private=False), report)["choice"] == "hosted"
    for private in (None, True):
        found = advise(Situation(private=private, tasks=8), report)
        assert (found["choice"], found["reasons"], found["against"]) == (None, [], [])
    assert advise(Situation(), report)["measured"]["option"] is None


def test_too_little_to_tell_rules_no_model_out() -> None:
    few = a_report("majority", "full", 0.4)
    for told in few["methods"].values():
        told["test"]["n"] = 53
    unlearned = a_report("majority", "zero_shot", 0.4)
    for report, lacking in ((few, "rows"), (unlearned, "learning")):
        found = advise(Situation(private=False), report)
        assert (found["choice"], found["measured"]["lacking"]) == (None, lacking)


def test_too_few_rows_to_tell_methods_apart_recommend_none() -> None:
    few = a_report("zero_shot", "lora", 0.4)
    for told in few["methods"].values():
        told["test"]["n"] = 53
    found = advise(Situation(), few)
    assert (found["choice"], found["measured"]["undecided"]) == (None, True)
    # So few rows do not tell what is best either.
    assert advise(Situation(quality="best"), few)["choice"] is None
    few["methods"]["lora"]["test"]["n"] = 54
    assert advise(Situation(), few)["choice"] == "hand_prompt"
    assert advise(Situation(quality="best"), few)["choice"] == "lora"
    ahead = a_report("zero_shot", "zero_shot", None)
    for told in ahead["methods"].values():
        told["test"]["n"] = 53
    ahead["recommendation"]["told_apart"] = False
    assert advise(Situation(), ahead)["measured"]["undecided"]
    ahead["recommendation"]["told_apart"] = True
    assert advise(Situation(), ahead)["choice"] == "hand_prompt"
    # Two that go the same way need no telling apart, nor do rows that one has left out.
    same = a_report("lora_suffix", "lora", 0.4)
    untrained = a_report("zero_shot", "few_shot", 0.4)
    for report in (same, untrained):
        for told in report["methods"].values():
            told["test"]["n"] = 40
    assert advise(Situation(), same)["choice"] == "lora"
    assert advise(Situation(), untrained)["choice"] == "hand_prompt"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("recommendation", "points"), None),
        (("methods", "full", "test", "macro_f1"), None),
        (("methods", "full", "stored_bytes"), "a"),
        (("methods", "full", "seconds"), {"training": "long"}),
    ],
)
def test_a_damaged_report_is_refused(place: tuple[str, ...], value: Any) -> None:
    report = copy.deepcopy(a_report("full", "full", None))
    part = report
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    with pytest.raises(UsageError, match="missing or damaged in the report"):
        advise(Situation(), report)


@pytest.mark.parametrize("part", ["recommendation", "methods"])
def test_a_report_that_lacks_something_is_refused(part: str) -> None:
    report = {**a_report("full", "full", None), part: {}}
    if part == "methods":
        report[part] = {"full": {}}
    with pytest.raises(UsageError, match="missing or damaged in the report"):
        advise(Situation(), report)


def test_what_is_no_report_is_refused() -> None:
    with pytest.raises(UsageError, match="no report of a comparison"):
        advise(Situation(), {"methods": {}})
    with pytest.raises(UsageError, match="no report of a comparison"):
        advise(Situation(), {"format": VERSION, "methods": {}})
    empty = {"format": VERSION, "metric": "accuracy", "methods": {}, "recommendation": None}
    with pytest.raises(UsageError, match="no measurements yet"):
        advise(Situation(), empty)
    refused = {"errors": {"zero_shot": {"kind": "refused", "error": "It cannot."}}}
    with pytest.raises(UsageError, match="none of its methods"):
        advise(Situation(), {**empty, **refused})
    failed = {"errors": {"lora": {"kind": "failed", "error": "It broke."}, **refused["errors"]}}
    with pytest.raises(UsageError, match="no measurements yet"):
        advise(Situation(), {**empty, **failed})
    guess = a_report("majority", "majority", None)
    guess["methods"] = {"majority": guess["methods"]["majority"]}
    with pytest.raises(UsageError, match="no measurements yet"):
        advise(Situation(), guess)
