"""Pure parts of a comparison: curves, escalation, energy, memory, general text."""

from __future__ import annotations

import importlib
import random
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from softprompt.comparison.config import CompareConfig
from softprompt.comparison.curve import rows_for, rows_saved
from softprompt.comparison.energy import Meter
from softprompt.comparison.escalation import Held, judged, not_measured, steps_of
from softprompt.comparison.general import change_interval, halves, passages_of
from softprompt.comparison.held_out import HeldOut
from softprompt.comparison.memory import peak_memory
from softprompt.comparison.significance import guessing_p_value, p_value
from softprompt.comparison.verdicts import escalation
from softprompt.comparison.words import change
from softprompt.errors import DataError

ENERGY = importlib.import_module("softprompt.comparison.energy")


def test_the_interval_of_a_change_is_over_passages() -> None:
    before, tokens = [10.0, 20.0, 30.0], [10, 20, 30]
    assert change_interval(before, before, tokens) == [0.0, 0.0]
    assert change_interval([], [], []) == [0.0, 0.0]
    even = change_interval(before, [15.0, 30.0, 45.0], tokens)
    assert even == pytest.approx([0.5, 0.5])
    low, high = change_interval(before, [10.0, 20.0, 45.0], tokens)
    assert 0 <= low < 0.25 < high <= 0.5
    assert change({"change_interval": [-0.001, 0.126]}) == "0.00–0.13"
    assert change({"change_interval": [-0.25, -0.125]}) == "-0.25 – -0.12"
    assert change({}) == ""


def test_rates_are_positive() -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        CompareConfig(lora_rates=(-1.0,))


def test_rows_are_read_off_the_line_over_their_logarithm() -> None:
    curve = [(32, 0.5), (128, 0.6), (512, 0.8)]
    assert rows_for(curve, 0.7) == (pytest.approx(256), "exact")
    assert rows_for(curve, 0.55) == (pytest.approx(64), "exact")
    assert rows_for(curve, 0.5) == (32.0, "at_most")
    assert rows_for(curve, 0.81) == (None, "more_than")
    # Where a curve falls, the best so far counts.
    assert rows_for([(32, 0.5), (128, 0.4), (512, 0.8)], 0.5) == (32.0, "at_most")


def test_rows_saved_are_those_of_the_same_score() -> None:
    curves = {"soft_prompt": [(32, 0.5), (128, 0.7)], "lora": [(32, 0.4), (128, 0.6)]}
    saved = rows_saved(curves, "soft_prompt")
    assert set(saved) == {"lora"}
    assert [entry["bound"] for entry in saved["lora"]] == ["at_most", "exact"]
    assert saved["lora"][1]["reference_rows"] == pytest.approx(64)
    assert saved["lora"][1]["saved"] == pytest.approx(64)
    assert rows_saved({"lora": curves["lora"]}, "soft_prompt") == {}


REFERENCES = list("ab" * 30)


def held(name: str, wrong: int, *, trained: bool = True) -> Held:
    other = {"a": "b", "b": "a"}
    answers = [other[x] if n < wrong else x for n, x in enumerate(REFERENCES)]
    return Held(name, trained, 1 - wrong / len(REFERENCES), answers)


@pytest.mark.parametrize(
    ("before", "now", "decision"),
    [
        ([], held("zero_shot", 30, trained=False), "go_on"),
        ([], held("zero_shot", 1, trained=False), "no_room"),
        ([held("zero_shot", 30, trained=False)], held("soft_prompt", 12), "go_on"),
        ([held("zero_shot", 30, trained=False)], held("soft_prompt", 28), "does_not_pay"),
        ([held("soft_prompt", 12)], held("lora", 20), "does_not_pay"),
        ([held("soft_prompt", 1)], held("lora", 20), "no_room"),
    ],
)
def test_an_escalation_goes_on_while_it_pays(before: list[Held], now: Held, decision: str) -> None:
    step = judged(("a", "b"), "accuracy", REFERENCES, before, [now])
    assert step.decision == decision
    compared = step.than is not None
    assert (step.points is not None) == compared
    if compared:
        assert step.points == pytest.approx(100 * (now.score - before[-1].score))


def test_an_escalation_ends_with_what_is_no_better_than_guessing() -> None:
    constant = Held("zero_shot", False, 1 / 3, ["a"] * 200)
    # By macro-F1 a coin is better beyond chance than one answer throughout.
    coin = Held("soft_prompt", True, 0.5, list("aabb" * 50))
    step = judged(("a", "b"), "macro_f1", list("ab" * 100), [constant], [coin])
    assert step.decision == "says_nothing" and step.p_value is not None and step.p_value > 0.4
    told = {"steps": [vars(step)], "stopped": step.decision}
    assert "not better than guessing beyond chance (p = 0." in escalation({"escalation": told})
    assert not_measured(told)["kind"] == "not_needed"


@pytest.mark.parametrize("metric", ["macro_f1", "accuracy"])
def test_the_chance_of_guessing_so_well(metric: str) -> None:
    labels, right = ("a", "b", "c"), list("abc" * 40)
    draws = random.Random(0)

    def chance(share: float) -> float:
        given = [x if draws.random() < share else draws.choice("abc") for x in right]
        found = guessing_p_value(labels, metric, right, given)
        assert found is not None
        return found

    assert chance(0.5) < 0.001
    # It is as often below a level as the level says, whatever the shares of the answers.
    below = [chance(0.0) < 0.2 for _ in range(60)]
    assert 3 <= sum(below) <= 22
    assert guessing_p_value(labels, metric, right, ["b"] * 120) == 1.0
    # An answer that is no label is wrong, and rows without one are left out.
    assert guessing_p_value(labels, metric, right, ["x"] * 120) == 1.0
    assert guessing_p_value(labels, metric, right, [None] * 120) is None
    assert guessing_p_value((), metric, right, right) is None


def test_what_guessing_comes_to_is_judged_by_the_metric() -> None:
    right = "a" * 60 + "b" * 50 + "c" * 10
    # The rare label is always right, and the others are more often wrong than by a coin.
    given = "a" * 23 + "b" * 37 + "b" * 19 + "a" * 31 + "c" * 10
    by_f1 = guessing_p_value("abc", "macro_f1", right, given)
    by_share = guessing_p_value("abc", "accuracy", right, given)
    assert by_f1 is not None and by_f1 < 0.001
    assert by_share is not None and by_share > 0.2


@pytest.mark.parametrize(
    ("points", "told"),
    [
        (3.0, "it is not better than soft prompt beyond chance (p = 0.007)"),
        (0.0, "it scores no higher than soft prompt."),
        (-3.0, "it scores no higher than soft prompt."),
    ],
)
def test_what_is_behind_is_not_told_as_chance(points: float, told: str) -> None:
    step = {"method": "lora", "than": "soft_prompt", "p_value": 0.007, "points": points}
    assert told in escalation({"escalation": {"steps": [step], "stopped": "does_not_pay"}})
    del step["points"]
    assert "beyond chance" in escalation(
        {"escalation": {"steps": [step], "stopped": "does_not_pay"}}
    )


def test_a_method_that_leaves_long_rows_out_is_judged_on_the_others() -> None:
    other, labels = {"a": "b", "b": "a"}, ("a", "b")
    every = Held("soft", True, 2 / 3, [x if n < 40 else other[x] for n, x in enumerate(REFERENCES)])
    # Half right on the short rows, the only ones that it answers, and fewer of all than the other.
    short = Held("zero_shot", False, 0.7, [*["a"] * 40, *[None] * 20])
    step = judged(labels, "accuracy", REFERENCES, [short], [every])
    assert (step.decision, step.than) == ("go_on", "zero_shot")
    # Right on the long rows alone is not better.
    long = replace(every, answers=[*["a"] * 40, *REFERENCES[40:]])
    assert judged(labels, "accuracy", REFERENCES, [short], [long]).decision == "does_not_pay"
    # One that answers next to nothing is nobody's rival, however right it is there.
    few = Held("few_shot", False, 1.0, [*REFERENCES[:5], *[None] * 55])
    half = held("zero_shot", 30, trained=False)
    step = judged(labels, "accuracy", REFERENCES, [few, half], [held("soft_prompt", 12)])
    assert (step.decision, step.than) == ("go_on", "zero_shot")


def test_of_few_validation_rows_no_difference_tells_anything() -> None:
    few = Held("zero_shot", False, 0.0, ["b"] * 5)
    step = judged(("a", "b"), "accuracy", ["a"] * 5, [], [few])
    assert (step.decision, step.p_value) == ("too_few_rows", None)
    enough = Held("zero_shot", False, 0.0, ["b"] * 6)
    assert judged(("a", "b"), "accuracy", ["a"] * 6, [], [enough]).decision == "go_on"
    # Ten rows of which five are right leave much to gain, and no difference tells.
    half = Held("zero_shot", False, 0.5, list("aabbb"))
    assert judged(("a", "b"), "accuracy", list("aaabb"), [], [half]).decision == "too_few_rows"
    some = Held("zero_shot", False, 0.625, list("aaaabbbb"))
    assert judged(("a", "b"), "accuracy", list("aaaaabaa"), [], [some]).decision == "too_few_rows"
    told = not_measured({"stopped": step.decision})
    assert told == {"error": "not measured: too few validation rows", "kind": "too_few_rows"}
    assert not_measured(None)["kind"] == "waiting"


def test_passages_that_hold_a_text_are_told() -> None:
    held = HeldOut(["the soup  was cold", "fine", "one two three four five six seven eight nine"])
    assert "the soup was\ncold" in held
    assert held.within("Yesterday the soup was cold and late.")
    assert held.within("fine")
    assert not held.within("the soup was colder than ever")
    assert not held.within("all fine here")
    assert not held.within("one two three four five six seven nine ten")
    assert held.within("zero one two three four five six seven eight nine ten")


def test_passages_that_hold_a_part_of_a_text_are_told() -> None:
    numbers = [f"n{number}" for number in range(40)]
    text = f"The first line of it\n{' '.join(numbers)}\nBest regards from us all"
    known = ["A letter, n0 n1 n2 n3 n4 n5 n6 n7 - Best regards from us all"]
    held = HeldOut([text], known)
    assert held.within("he said: The first line of it")
    assert not held.within("Best regards from us all")
    assert not held.within(" ".join(numbers[:9]))
    for start in range(1, len(numbers) - 14):
        assert held.within("so " + " ".join(numbers[start : start + 15]) + " on")
    # A text whose parts stand in others, each in another one, is a text all the same.
    text = "a b c d e f g h i"
    held = HeldOut([text], ["a b c d e f g h x", "y b c d e f g h i"])
    assert held.within(f"before {text} after")
    assert not held.within("a b c d e f g h x")


def test_only_whole_texts_are_the_same_rows() -> None:
    text = "some words of a longer text\nand others that follow them"
    held = HeldOut([text])
    assert text in held and text.splitlines()[0] not in held


def test_methods_without_training_are_one_step() -> None:
    methods = [("majority", False), ("zero_shot", False), ("soft_prompt", True), ("full", True)]
    assert steps_of(methods) == [["majority", "zero_shot"], ["soft_prompt"], ["full"]]
    assert steps_of(methods[2:]) == [["soft_prompt"], ["full"]]


def counter(
    folder: Path, counted: int, zone: str = "intel-rapl:0", name: str = "package-0"
) -> None:
    (folder / zone).mkdir(exist_ok=True, parents=True)
    if not (folder / zone / "name").exists():
        (folder / zone / "name").write_text(f"{name}\n")
        (folder / zone / "max_energy_range_uj").write_text("10000000\n")
    # At once, as the system has it.
    (folder / zone / "fresh").write_text(f"{counted}\n")
    (folder / zone / "fresh").replace(folder / zone / "energy_uj")


def test_energy_is_read_from_counters_that_begin_anew(tmp_path: Path) -> None:
    counter(tmp_path, 9_000_000)
    counter(tmp_path, 0, "intel-rapl:1")
    counter(tmp_path, 0, "intel-rapl:0:0")
    # The whole platform, the packages included.
    counter(tmp_path, 0, "intel-rapl:2", "psys")
    with Meter(10.0, tmp_path, lambda: None) as meter:
        counter(tmp_path, 2_000_000)
        counter(tmp_path, 500_000, "intel-rapl:1")
        counter(tmp_path, 5_000_000, "intel-rapl:0:0")
        counter(tmp_path, 9_000_000, "intel-rapl:2", "psys")
    found = meter.read()
    assert found["joules"] == pytest.approx(3.5)
    assert found["kwh"] == pytest.approx(3.5 / 3.6e6)
    assert found["sources"] == ["rapl"]


def test_counters_that_begin_anew_twice_are_read_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 9 of 10 million micro-joules, three times: at the end alone it would look like 7 of them.
    monkeypatch.setattr(ENERGY, "_SAMPLE_SECONDS", 0.01)
    counters, read = ENERGY._counters, [0]

    def noted(folder: Path) -> Any:
        found = counters(folder)
        read[0] += 1
        return found

    monkeypatch.setattr(ENERGY, "_counters", noted)
    counter(tmp_path, 0)
    with Meter(10.0, tmp_path, lambda: None) as meter:
        for now in (9_000_000, 8_000_000, 7_000_000):
            counter(tmp_path, now)
            # One reading may have begun before.
            wanted, until = read[0] + 2, time.monotonic() + 30
            while read[0] < wanted and time.monotonic() < until:
                time.sleep(0.005)
    assert meter.read()["joules"] == pytest.approx(27.0)
    assert meter.read()["sources"] == ["rapl"]


def test_energy_without_a_meter_is_an_estimate(tmp_path: Path) -> None:
    with Meter(20.0, tmp_path / "absent", lambda: None) as meter:
        sum(range(200_000))
    found = meter.read()
    assert found["sources"] == ["estimated"]
    assert found["watts_per_core"] == 20.0
    assert found["joules"] == pytest.approx(20.0 * found["cpu_seconds"], abs=0.011)


def test_the_draw_of_graphics_processors_is_added(tmp_path: Path) -> None:
    asked = threading.Event()
    answers = iter([100.0])

    def gpu() -> float:
        if next(answers, None) is None:
            asked.set()
        return 100.0

    with Meter(10.0, tmp_path, gpu) as meter:
        asked.wait(5.0)
    found = meter.read()
    assert found["sources"] == ["estimated", "nvidia-smi"]
    assert found["joules"] > 100.0 * 0.5


def test_the_peak_is_that_of_this_program(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmPeak:\t 99 kB\nVmHWM:\t  2048 kB\n")
    device = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    assert peak_memory(status) == 2048 * 1024 + device
    assert peak_memory(tmp_path / "absent") > 1_000_000


def test_general_text_is_cut_between_words(tmp_path: Path) -> None:
    built_in = halves()
    assert len(built_in) >= 10
    assert all(second.startswith(" ") and first for first, second in built_in)
    assert any("ư" in first for first, _ in built_in)
    own = tmp_path / "own.txt"
    own.write_text("one two three four five six seven eight\nshort\n")
    assert halves(own) == [("one two three four", " five six seven eight")]
    assert passages_of(own) == ["one two three four five six seven eight", "short"]
    own.write_text("a\n\nb c\nd\n")
    assert passages_of(own) == ["a", "b c d"]
    own.write_text("\n\n".join(f"passage {n} of the words that make it long" for n in range(400)))
    firsts = [first for first, _ in halves(own)]
    assert len(firsts) == 200
    assert firsts[-1] == "passage 398 of the"
    own.write_text("a\n\nb c\nd\n")
    with pytest.raises(DataError, match="at least 8 words"):
        halves(own)
    own.write_text(" \n")
    with pytest.raises(DataError, match="is empty"):
        halves(own)
    own.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match="not UTF-8"):
        halves(own)


def test_sizes_of_a_curve_are_in_order() -> None:
    assert CompareConfig(curve=(64, 8, 64)).curve == (8, 64)
    with pytest.raises(ValueError, match="above 0"):
        CompareConfig(curve=(0,))


def test_free_text_is_compared_by_what_the_task_demands() -> None:
    references = ["AB-12", "CD-34"] * 8
    demands = {"format": r"[A-Z]{2}-\d{2}"}
    wrong = ["no"] * 16
    kept = p_value((), "format_adherence", references, references, wrong, demands)
    assert kept is not None and kept < 0.05
    assert p_value((), "format_adherence", references, wrong, wrong, demands) == 1.0
