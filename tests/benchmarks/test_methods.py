"""The table of methods: nearness to full fine-tuning, edges, context, parametrisations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny import feedback_task, tiny_backbone

from benchmarks import (
    methods,
)
from benchmarks.data import METRIC
from softprompt.prompts.initialisers import Request
from softprompt.prompts.initialisers.context import context
from softprompt.tasks import demonstration, in_turn


def cell(points: float, name: str = "sst2", **more: Any) -> dict[str, Any]:
    """A finished cell with so many test points."""
    return {"test": {METRIC[name]: points / 100}, **more}


def stored(points: float, numbers: int, described: int = 0, score: float = 0.5) -> dict[str, Any]:
    about = {"stored_numbers": numbers, "described_bytes": described}
    found = cell(points, validation_score=score, **about)
    found["test"]["per_class"] = {"a": {"n": 60}, "b": {"n": 40}}
    return found


def test_the_nearest_small_form_decides() -> None:
    sides: dict[str, list[dict[str, Any] | None]] = {
        "full": [stored(80, 1_000_000), stored(82, 1_000_000)],
        "suffix": [stored(77, 4_000), stored(79, 4_000)],
        "deep": [stored(80, 15_000, score=0.6), stored(80, 15_000, score=0.6)],
        # Nearer on test rows, which do not choose.
        "prefix": [stored(80.5, 4_000), stored(80.5, 4_000)],
        # Nearer, but of two members in one seed: 2.1% of the bytes.
        "kv": [stored(82, 10_000), stored(82, 20_000, 2_000)],
    }
    found = methods.nearness("sst2", sides, 1_000_000)
    assert found is not None
    assert found["forms"]["suffix"]["below"] == pytest.approx(3)
    assert found["forms"]["kv"]["share"] == pytest.approx(0.021)
    assert (found["best"], found["closest"]) == ("deep", "kv")
    near = {"sst2": found, "vsfc": None}
    claim = methods._near_claim(near, "why")
    assert (claim.value, claim.holds, claim.n) == (1, False, 1)
    assert claim.reason.endswith("with 2 seeds or more; without a readout 1 of 1")
    kept = {"details": {"readout": {"kept": True}}}
    read = {**sides, "deep": [None if one is None else {**one, **kept} for one in sides["deep"]]}
    beside = methods.nearness("sst2", read, 1_000_000)
    assert beside is not None
    # Prefix and suffix have one score on validation rows; the first of them counts.
    assert (beside["best"], beside["without_readout"]) == ("deep", pytest.approx(3))
    assert methods._near_claim({"sst2": beside}, "").reason.endswith("without a readout 0 of 1")
    text = methods.finding(near, {})
    assert "deep comes within 2 points" in text
    assert "kv comes closer (-1.0) but takes 2.1%" in text
    # Of other seeds nothing is learned about the distance.
    uneven = {"full": [stored(80, 1_000_000), None], "suffix": [stored(70, 9), stored(90, 9)]}
    one = methods.nearness("sst2", uneven, 1_000_000)
    assert one is not None
    assert (one["forms"]["suffix"]["below"], one["forms"]["suffix"]["seeds"]) == (10, 1)
    assert "with 1 seeds or more" in methods._near_claim({"sst2": one}, "").reason
    # Who only guesses is no measure of nearness.
    low = {"full": [stored(60, 1_000_000)], "suffix": [stored(60, 4_000)]}
    guessed = methods.nearness("sst2", low, 1_000_000)
    claim = methods._near_claim({"vsfc": found, "sst2": guessed}, "")
    assert (claim.value, claim.n) == (1, 1)
    assert "not counted, since full fine-tuning only guesses: sst2" in claim.reason
    assert "sst2: full fine-tuning only guesses." in methods.finding({"sst2": guessed}, {})
    points = {"sst2": {"full": [80.0], "lora": [79.0]}}
    assert "LoRA is +1.0 below: what changes the layers gets there" in methods.finding(
        {"sst2": one}, {}, points=points
    )
    assert methods.nearness("sst2", {"full": [None], "suffix": [cell(1)]}, 1) is None
    assert methods._near_claim({"sst2": None}, "why").reason == "why"


def test_a_rate_at_the_end_of_its_space_is_in_the_finding() -> None:
    tried = {"0.001": 0.5, "0.003": 0.6}
    table = {
        "sst2": {
            "lora": [cell(1, details={"rate": 0.003, "rates": tried}), None],
            "full": [cell(1, details={"rate": 0.001, "rates": tried})],
            "suffix": [cell(1, details={"rate": 0.3})],
            "kv": [None],
            # What is kept may be of the short search.
            "full_prompt": [cell(1, details={"rate": 0.001, "kept_rate": 0.003, "rates": tried})],
        }
    }
    edges = methods._at_edge(table)
    assert edges == [
        "The best learning rate is the largest that was tried: lora on sst2, full_prompt on sst2.",
        "The best learning rate is the smallest that was tried: full on sst2.",
    ]
    assert methods.finding({}, {}, edges) == " ".join(edges)


def test_context_is_held_against_the_same_examples_seed_by_seed() -> None:
    table = {"sst2": {"kv_context": [cell(70), cell(60), None]}}
    claim = methods._context_claim(table, {"sst2": [cell(60), None, cell(1)]}, "")
    assert (claim.value, claim.n, claim.holds) == (10, 1, True)
    assert methods._context_claim(table, {"sst2": [None] * 3}, "absent").reason == "absent"


@pytest.mark.parametrize("places", [10, 40, 57])
def test_as_many_examples_are_shown_as_the_prompt_is_made_of(places: int, tmp_path: Path) -> None:
    task, backbone = feedback_task(tmp_path), tiny_backbone()
    request = Request(
        backbone=backbone,
        length=places,
        seed=3,
        demonstrations=lambda row: demonstration(task, task.train[row]),
        order=lambda seed: in_turn(task, task.train, seed),
    )
    context(request)
    assert methods.shown(task, backbone, 3, places) == len(request.made_of)


def test_the_winner_trained_to_the_end() -> None:
    population = [
        {"score": 0.9, "left": 100, "seed": 1},
        {"score": 0.8, "left": None, "seed": 2},
        {"score": 0.7, "left": None, "seed": 3},
    ]
    assert methods.winner({"details": {"population": population}})["seed"] == 2


def test_the_table_of_parametrisations_has_speed_and_spread() -> None:
    forms = {
        "sst2": {
            "direct": {
                "points": [60.0, 64.0],
                "processor_seconds": [50.0, 70.0],
                "best_steps": [90, 110],
            },
            "encoder": {
                "points": [61.0, 62.0],
                "processor_seconds": [80.0, 90.0],
                "best_steps": [40, 60],
            },
            "low_rank": {"points": [], "processor_seconds": [], "best_steps": []},
        }
    }
    lines = methods.forms_shown(forms).splitlines()
    assert lines[1].split() == ["sst2", "direct", "62.0", "±", "2.8", "60", "100"]
    assert lines[3].split() == ["sst2", "low_rank", "–", "–", "–"]
    told = methods.finding({}, forms)
    assert "encoder spreads least over seeds (0.7 points)" in told
    assert "encoder is at its best first (step 50 on average, direct 100)" in told
    assert methods.forms_shown({}) == ""
