"""The arithmetic of the studies on cells that were made up: slopes, distances, steps, findings."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from tiny import feedback_task

from benchmarks import (
    forgetting,
    generation,
    initialisation,
    length,
    methods,
    noise,
    scale,
    stability,
)
from benchmarks.cells import Cells
from benchmarks.data import METRIC, guess
from benchmarks.sides import ALONE, FULL, LORA, SUFFIX, Side
from benchmarks.studies import Study
from softprompt.storage import write_json
from softprompt.tasks import Template


def cell(points: float, name: str = "sst2", **more: Any) -> dict[str, Any]:
    """A finished cell with so many test points."""
    return {"test": {METRIC[name]: points / 100}, **more}


def test_a_guess_is_the_most_frequent_label() -> None:
    test = {"per_class": {"a": {"n": 60}, "b": {"n": 40}}}
    assert guess("accuracy", test) == 0.6
    # Precision 0.6 and recall 1 for one label, nothing for the other.
    assert guess("macro_f1", test) == pytest.approx((2 * 0.6 / 1.6 + 0) / 2)


def test_a_slope_is_that_of_least_squares_with_a_level_for_each_task() -> None:
    rng = np.random.default_rng(0)
    table: dict[str, Any] = {}
    rows: list[list[float]] = []
    for task, level in enumerate((10.0, 3.0)):
        points: dict[int, Any] = {}
        for size in (1_000_000, 4_000_000, 12_000_000):
            gaps = level - 2 * math.log10(size) + rng.normal(size=3)
            points[size] = {
                "suffix": dict.fromkeys(range(3), 50.0),
                "full-wide": {seed: 50.0 + gap for seed, gap in enumerate(gaps)},
            }
            rows += [[math.log10(size), float(task == 0), float(task == 1), gap] for gap in gaps]
        table[f"task{task}"] = points
    found = scale.slope(table)
    assert found is not None and found.low is not None and found.high is not None
    design, target = np.array(rows)[:, :3], np.array(rows)[:, 3]
    solution, rest, *_ = np.linalg.lstsq(design, target, rcond=None)
    free = len(rows) - 3
    error = math.sqrt(rest[0] / free * np.linalg.inv(design.T @ design)[0, 0])
    assert found.value == pytest.approx(solution[0])
    assert found.error == pytest.approx(error)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, free) * error)
    claim = scale._claim(found, "")
    assert claim.holds and claim.n == 18 and "95% interval" in claim.reason
    assert "shrinks" in scale.finding(found, table)
    further = {
        name: {**by, 10**9: {"suffix": {0: 1.0}, "full-wide": {}}} for name, by in table.items()
    }
    assert "1000.0M" not in scale.finding(found, further)


def test_one_size_has_no_slope_and_pairs_need_both_sides() -> None:
    points = {1: {"suffix": {0: 1.0, 1: 2.0}, "full-wide": {1: 5.0}}}
    assert scale.distances(points) == {1: [3.0]}
    assert scale.slope({"sst2": points}) is None
    assert scale._claim(None, "no text").reason == "no text"
    two = {**points, 10: {"suffix": {0: 1.0}, "full-wide": {0: 2.0}}}
    found = scale.slope({"sst2": two})
    assert found is not None and found.value == pytest.approx(-2) and found.low is None


def test_how_few_vectors_suffice_and_when_more_stops_paying() -> None:
    points = {1: [50.0], 2: [60.0], 4: [60.4], 8: [64.0], 16: [64.5], 32: [64.9], 64: [64.9]}
    assert length.suffices(points) == 8
    assert length.stops(points) == 8
    assert "beyond 8 more did not pay" in length.finding({"sst2": points})
    rising = {1: [50.0], 2: [60.0], 4: []}
    assert (length.suffices(rising), length.stops(rising)) == (2, 2)
    # What follows a dip is no gain.
    assert length.stops({1: [60.0], 2: [55.0], 4: [57.0]}) == 1
    assert "still paid at 2" in length.finding({"sst2": rising})
    assert length.suffices({1: []}) is None and length.stops({1: [5.0]}) is None


def test_steps_to_a_target_count_whole_runs_that_miss_it() -> None:
    def run(best: float, *scores: float) -> dict[str, Any]:
        validations = [{"step": 10 * (n + 1), "score": s} for n, s in enumerate(scores)]
        about = {"validations": validations, "details": {"steps": 100}, "validation_score": best}
        return cell(100 * best, **about)

    runs = {
        "labels": [run(0.8, 0.6, 0.8), run(0.8, 0.7, 0.75)],
        "random": [run(0.6, 0.5, 0.6)],
    }
    assert initialisation.target_of(runs) == pytest.approx(2.2 / 3 - 0.01)
    found = initialisation.summed("sst2", runs)
    assert found is not None
    assert found["beginnings"]["labels"]["steps"] == [20, 20]
    assert found["beginnings"]["random"] == {
        "steps": [100],
        "reached": 0,
        "points": [pytest.approx(60)],
    }
    text = initialisation.finding({"sst2": found, "vsfc": None})
    assert "labels is at the target first (20 steps on average)" in text
    assert "random last (in none of 1 runs)" in text and "20.0 points apart" in text
    assert ">= 100" in initialisation.shown({"sst2": found})
    near, far = [[60.0, 62.0], [61.0, 63.0]], [[60.0, 60.1], [70.0, 70.1]]
    assert "no more than seeds" in initialisation._by_chance(near)
    assert "differ more than seeds" in initialisation._by_chance(far)
    assert initialisation._by_chance([[60.0], [70.0, 71.0]]) == ""
    assert initialisation.summed("sst2", {"labels": []}) is None


@pytest.mark.parametrize("share", [10, 20, 30])
def test_so_many_labels_are_wrong_and_more_of_them_are_the_same(share: int, tmp_path: Path) -> None:
    task = feedback_task(tmp_path, 100)
    noisy, worst = (noise.with_wrong_labels(task, s, 0) for s in (share, 30))
    changed = [n for n, (a, b) in enumerate(zip(task.train, noisy.train, strict=True)) if a != b]
    assert len(changed) == round(len(task.train) * share / 100)
    assert all(noisy.train[n].answer != task.train[n].answer for n in changed)
    assert all(noisy.train[n] == worst.train[n] for n in changed)
    assert (noisy.validation, noisy.test) == (task.validation, task.test)


def test_irrelevant_rows_have_foreign_texts(tmp_path: Path) -> None:
    task = feedback_task(tmp_path, 100)
    noisy = noise.with_irrelevant_rows(task, ["foreign"], 20, 0)
    foreign = [row for row in noisy.train if row.columns["text"] == "foreign"]
    assert len(foreign) == round(len(task.train) * 0.2)
    assert {row.answer for row in foreign} == {"good", "bad"}


def test_what_noise_costs_is_from_none_to_most() -> None:
    points = {0: [80.0, 82.0], 10: [1.0], 20: [], 30: [76.0]}
    assert noise.lost(points) == 4
    assert noise.lost({0: [1.0], 30: []}) is None
    table = {"vsfc": {"wrong": {"suffix": points, "lora": {0: [80.0], 30: [70.0]}, "full": {}}}}
    assert "points lost: prompt (default) 4.0, LoRA 10.0." in noise.finding(table)


def test_wordings_are_ten_and_each_is_a_template() -> None:
    columns = {"vsfc": "text", "sst2": "sentence", "agnews": "title_and_text"}
    for name, wordings in stability.WORDINGS.items():
        assert len(set(wordings)) == 10
        assert {Template(text).columns for text in wordings} == {(columns[name],)}


def test_the_best_wording_is_chosen_on_validation_rows() -> None:
    cells = [cell(70, validation_score=0.5), cell(60, validation_score=0.6)]
    assert stability.chosen("sst2", cells) == 60
    assert stability.chosen("sst2", [*cells, None]) is None
    found = stability.Spread([70.0, 60.0], 60.0, [80.0, 81.0, 82.0], [65.0])
    text = stability.finding({"sst2": found})
    assert "wordings spread more than seeds" in text
    assert "+21.0 points from the best wording by validation" in text
    assert "+11.0 from the best by test, +16.0 from examples in context" in text


def forgets(attached: float, same: float | None, other: float = 50.0) -> dict[str, Any]:
    return {
        "forgetting": {
            "loss": {"untouched": 3.0, "attached": attached, "detached": 3.0},
            "other": {"untouched": {"macro_f1": 0.4}, "attached": {"macro_f1": other / 100}},
            "detached_identical": same,
        }
    }


def test_one_changed_row_breaks_the_claim_of_identity() -> None:
    sides = {"suffix": [forgets(3.5, 1.0)], "lora": [forgets(3.2, 0.5)], "full": []}
    claim = forgetting.identical_claim({"sst2": sides}, "")
    assert (claim.value, claim.n, claim.holds) == (1, 1, True)
    sides["kv"] = [forgets(3.1, 199 / 200)]
    claim = forgetting.identical_claim({"sst2": sides}, "")
    assert claim.holds is False and claim.n == 2
    assert "are NOT all" in forgetting.finding({"sst2": sides})
    assert forgetting.identical_claim({"sst2": {}}, "why").reason == "why"


def test_what_attaching_changes() -> None:
    found = forgetting.changes("sst2", [forgets(3.5, 1.0, 30.0)])
    assert found == {"loss": [0.5], "other": [pytest.approx(-10)]}
    sides = {"suffix": [forgets(3.5, 1.0)], "full": [forgets(3.1, None)]}
    assert "full fine-tuning +0.10, prompt (default) +0.50" in forgetting.finding({"sst2": sides})
    assert "–" in forgetting.shown({"sst2": sides}).splitlines()[-1]


def test_methods_are_ordered_by_the_tasks_own_metric() -> None:
    def written(points: float, adherence: float) -> dict[str, Any]:
        return {"test": {"exact_match": points / 100, "format_adherence": adherence / 100}}

    sides = {"hand": [written(1, 0)], "soft": [written(30, 95)], "full": [written(50, 99)]}
    assert generation.order("record", sides) == ["full", "soft", "hand"]
    text = generation.finding({"record": sides})
    assert text.startswith(
        "record (exact_match): full fine-tuning 50.0, prompt (32, choices 8) 30.0"
    )
    assert "format adherence of the prompt 95%, asked in words 0%" in text
    assert generation.finding({"record": {}}) == "Nothing was measured yet."


def test_a_run_of_quality_serves_as_a_cell(tmp_path: Path) -> None:
    earlier = {
        "test": {"accuracy": 0.6},
        "validation": {"accuracy": 0.7},
        "metric": "accuracy",
        "trainable_parameters": 4096,
        "artifact_bytes": 20_000,
        "seconds": {"training": 10.0, "context": 2.0},
        "population": [],
        "selection": {},
        "steps": 5,
    }
    write_json(tmp_path / "quality" / "stamp" / "sst2-suffix-1.json", earlier)
    cells = Cells(tmp_path / "studies", "stamp", only_read=True)
    kept = Cells(tmp_path / "quality", "stamp", only_read=True)
    study = Study(cells, kept, "nano", tmp_path, 2000)
    found = study.side("sst2", SUFFIX, 1)
    assert found is not None
    assert (found["stored_numbers"], found["described_bytes"]) == (4096, 20_000 - 4 * 4096)
    assert found["seconds"]["training"] == 12
    assert study.points("sst2", SUFFIX, 3) == [pytest.approx(60)]
    assert study.side("sst2", SUFFIX, 1, ("wrong-10", lambda task, seed: task)) is None
    # A timed run is the same run; it tells what its prompts do without the readout, too.
    parts = {"kept": True, "validation_without": {"accuracy": 0.5}}
    timed = {**earlier, "readout": {**parts, "test_without": {"accuracy": 0.4}}}
    write_json(tmp_path / "quality" / "stamp" / "sst2-tune-2.json", timed)
    write_json(tmp_path / "quality" / "stamp" / "sst2-tune-3.json", earlier)
    assert study.points("sst2", SUFFIX, 4) == pytest.approx([60, 60, 60])
    assert study.points("sst2", ALONE, 4) == pytest.approx([60, 40, 60])
    # So does a run that a study has measured.
    whole = {"test": {"accuracy": 0.9}, "validation_score": 0.9, "details": {"readout": parts}}
    whole["parts"] = {"prompts": {"accuracy": 0.3}}
    write_json(tmp_path / "studies" / "stamp" / "sst2-suffix-4.json", whole)
    assert study.points("sst2", SUFFIX, 5) == pytest.approx([60, 60, 60, 90])
    assert study.points("sst2", ALONE, 5) == pytest.approx([60, 40, 60, 30])
    # LoRA's loop is another there.
    tuned = {"test": {"accuracy": 0.8}, "validation": 0.7, "rate": 3e-3, "seconds": 5.0}
    write_json(tmp_path / "quality" / "stamp" / "sst2-lora-run-0.003-0.json", tuned)
    assert study.side("sst2", LORA, 0) is None
    assert "see --data" in study.why_missing("sst2")
    # Full fine-tuning has one loop, whose cells lie beside those of the runs.
    beside = Study.beside(kept, "nano", tmp_path, 2000, None)
    write_json(tmp_path / "studies" / "stamp" / "sst2-full-0.json", {"test": {"accuracy": 0.8}})
    assert beside.points("sst2", FULL, 2) == [pytest.approx(80)]


def test_further_seeds_take_the_rate_that_the_first_chose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, Side]] = []

    def measured(study: Study, task: Any, side: Side, seed: int, metric: str) -> dict[str, Any]:
        asked.append((seed, side))
        return cell(50 + seed, details={"rate": 0.003})

    monkeypatch.setattr(Study, "measured", measured)
    monkeypatch.setattr(Study, "task", lambda study, name, seed: None)
    monkeypatch.setattr("benchmarks.studies.has_data", lambda name, data: True)
    study = Study(Cells(tmp_path, "stamp"), None, "nano", tmp_path, 2000)
    # The first seed is measured although a further one alone is asked for.
    assert study.side("sst2", LORA, 2) == study.side("sst2", LORA, 2)
    assert asked == [(0, LORA), (2, LORA.at(0.003))]
    assert asked[1][1].how == {"lora_rates": (0.003,)}
    # A prompt has no rate to search for; rows that were changed have a search of their own.
    # Rows are changed by the seed that is measured, not by the one that asks.
    seeds: list[int] = []

    def changed(task: Any, seed: int) -> Any:
        seeds.append(seed)
        return task

    study.side("sst2", LORA, 1, ("wrong-20", changed))
    assert seeds == [0, 1]
    asked.clear()
    study.side("sst2", SUFFIX, 1)
    study.side("sst2", LORA, 0, ("wrong-10", lambda task, seed: task))
    assert asked == [(1, SUFFIX), (0, LORA)]
    # What is measured beside forgetting counts as well.
    told = cell(70, details={"rate": 0.001})
    write_json(tmp_path / "stamp" / "vsfc-full-0-forgetting.json", told)
    assert study.side("vsfc", FULL, 0) == told
    assert study.chosen("vsfc", FULL, 0) == FULL.at(0.001)


def test_a_hybrid_takes_the_rate_of_what_learned_before_its_prompt(tmp_path: Path) -> None:
    cells = Cells(tmp_path, "stamp", only_read=True)
    study = Study(cells, None, "nano", tmp_path, 2000)
    parts = {"lora_prompt": "lora", "lora_domain_prompt": "lora", "full_prompt": "model"}
    hybrids = {side.name: side for side in methods.HYBRIDS if side.name in parts}
    assert set(hybrids) == set(parts)
    for name, part in parts.items():
        for seed, rate in ((0, 3e-3), (1, 3e-3), (2, 1e-3)):
            told = cell(60 + seed, details={part: {"rate": rate}, "population": [{"rate": 0.3}]})
            write_json(tmp_path / "stamp" / f"sst2-{name}-{seed}.json", told)
        side = hybrids[name]
        chosen = study.chosen("sst2", side, 1)
        assert chosen is not None and chosen.how == {side.rates: (3e-3,)}
        assert study.points("sst2", side, 3) == [pytest.approx(60), pytest.approx(61)]


def test_a_seed_at_another_rate_than_the_first_is_measured_anew(tmp_path: Path) -> None:
    cells = Cells(tmp_path / "studies", "stamp", only_read=True)
    study = Study(cells, None, "nano", tmp_path, 2000)
    for seed, rate in ((1, 3e-3), (2, 1e-3)):
        told = {"test": {"accuracy": 0.5}, "details": {"rate": rate}}
        write_json(tmp_path / "studies" / "stamp" / f"sst2-lora-{seed}.json", told)
    assert study.points("sst2", LORA, 3) == []
    told = {"test": {"accuracy": 0.6}, "details": {"rate": 1e-3}}
    write_json(tmp_path / "studies" / "stamp" / "sst2-lora-0.json", told)
    assert study.points("sst2", LORA, 3) == [pytest.approx(60), pytest.approx(50)]
