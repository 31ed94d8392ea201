"""The display of a run, amounts, tables: what people read, in both languages."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from softprompt.cli import display
from softprompt.cli.amounts import duration, measure_name
from softprompt.cli.comparison import _quality
from softprompt.cli.display import Display, counting
from softprompt.cli.runs import _rows_of
from softprompt.cli.tables import comparison, show_metric
from softprompt.comparison import METHODS
from softprompt.evaluation.titles import MEASURES
from softprompt.locale import _, set_language, size


@pytest.fixture(autouse=True)
def english_again(monkeypatch: pytest.MonkeyPatch) -> None:
    set_language("en")


def metric(accuracy: float, low: float, high: float) -> dict[str, Any]:
    return {"n": 100, "accuracy": accuracy, "macro_f1": 0.5, "interval": [low, high]}


def printed(width: int = 80, **options: Any) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=width, highlight=False, markup=False, **options), file


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (3725, "1 h 2 min"), (-3, "0 s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(812, "812 B"), (8_451, "8.5 kB"), (40_466, "40 kB"), (13_834_752, "13.8 MB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


def test_amounts_in_vietnamese() -> None:
    set_language("vi")
    assert duration(75) == "1 phút 15 giây"
    assert size(13_834_752) == "13,8 MB"
    assert measure_name("accuracy") == "độ chính xác"
    assert measure_name("own_measure") == "own_measure"


@pytest.mark.parametrize("language", ["en", "vi"])
def test_the_comparison_fits_eighty_columns(language: str) -> None:
    set_language(language)
    console, file = printed()
    console.print(
        comparison([("x" * 19, metric(1.0, 0.99, 1.0)), ("y", metric(0.5, 0.1, 0.9))], "macro_f1")
    )
    text = file.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    row = next(line for line in text.splitlines() if "x" * 19 in line)
    assert "100" in row, "a row takes one line"


def test_the_metric_that_decided_is_told_first_with_its_interval() -> None:
    written = {
        "n": 9, "exact_match": 0.5, "interval": [0.4, 0.6], "token_f1": 0.71,
        "chrf": 0.29, "chrf_interval": [0.21, 0.37], "format_adherence": 0.8,
    }  # fmt: skip
    for chosen, first, second in (
        ("chrf", "29.0% 21.0–37.0%", "50.0%"),
        ("exact_match", "50.0% 40.0–60.0%", "71.0%"),
        # What has no interval stands beside what has one.
        ("format_adherence", "50.0% 40.0–60.0%", "80.0%"),
    ):
        console, file = printed()
        console.print(comparison([("a", written)], chosen))
        row = file.getvalue().splitlines()[-2].rstrip()
        assert first.split() == row.split()[1:3] and row.endswith(second)
    console, file = printed()
    show_metric(console, written, "chrf")
    assert "chrF 29.0%, 95% interval 21.0–37.0%" in file.getvalue()
    assert "exact match 50.0%" in file.getvalue()


def test_slices_are_told_by_the_measure_that_decided() -> None:
    part = {
        "n": 9, "exact_match": 0.0, "interval": [0.0, 0.3], "chrf": 0.25,
        "chrf_interval": [0.2, 0.3],
    }  # fmt: skip
    console, file = printed()
    show_metric(console, {**part, "slices": {"north": part}}, "chrf")
    assert "25.0%" in file.getvalue().splitlines()[-2]


def test_rows_that_only_some_have_answered_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = {name: {**metric(0.5, 0.4, 0.6), "n": n} for name, n in (("a", 18), ("b", 16))}
    assert _rows_of([("a", metrics["a"]), ("ours", metrics["a"])]) == "On the same 18 test rows:"
    told = _rows_of([("a", metrics["a"]), ("b", metrics["b"]), ("ours", metrics["a"])])
    assert told == "On 18 test rows (b: 16), as far as they fit into the window:"


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("language", ["en", "vi"])
def test_methods_side_by_side_fit_eighty_columns(language: str, name: str) -> None:
    set_language(language)
    test = {name: 0.123, f"{name}_interval": [0.1, 0.15], "interval": [0.1, 0.15], "n": 40}
    method = {
        "test": test, "p_value": 0.001, "trainable_parameters": 6_900_000,
        "stored_bytes": 14_400_000, "seconds": {"search": 600.0, "training": 700.0},
    }  # fmt: skip
    found = {"metric": name, "methods": dict.fromkeys(METHODS, method), "recommendation": None}
    console, file = printed()
    console.print(_quality(found))
    header = file.getvalue().splitlines()[1].rstrip()
    assert header.endswith(_("time"))
    assert max(map(len, file.getvalue().splitlines())) <= 80


def test_adherence_is_told() -> None:
    console, file = printed()
    show_metric(
        console,
        {
            "n": 4,
            "exact_match": 0.5,
            "interval": [0.4, 0.6],
            "format_adherence": 0.75,
            "term_precision": None,
        },
    )
    assert "adherence to the format 75.0%" in file.getvalue()
    assert "terms" not in file.getvalue()


def test_the_interval_is_drawn_to_scale() -> None:
    console, file = printed()
    console.print(
        comparison([("a", metric(0.0, 0.0, 1.0)), ("b", metric(0.5, 0.25, 0.75))], "accuracy")
    )
    text = file.getvalue()
    assert "●" + "─" * 17 + "┤" in text
    assert "├───●────┤" in text or "├────●───┤" in text or "├────●────┤" in text


def test_intervals_use_the_decimal_sign_of_the_language() -> None:
    set_language("vi")
    console, file = printed()
    show_metric(console, metric(0.5, 0.25, 0.75))
    assert "khoảng tin cậy 95% 25,0–75,0%" in file.getvalue()


def test_free_text_has_its_own_measures() -> None:
    console, file = printed()
    show_metric(
        console,
        {
            "n": 5, "exact_match": 0.2, "interval": [0.0, 0.6], "token_f1": 0.4,
            "skipped": {"chrf": "pip install 'softprompt[generation]'"}, "dropped": 3,
        },
    )  # fmt: skip
    text = file.getvalue()
    assert "exact match 20.0%" in text and "token F1 40.0%" in text
    assert "pip install 'softprompt[generation]'" in text
    assert "left out for their length: 3" in text


def test_without_a_terminal_there_are_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: clock[0])
    console, file = printed(force_terminal=False)
    with Display(console) as shown:
        shown.stage("training", {"estimate_seconds": 40.0, "steps": 100})
        for step in range(1, 101):
            clock[0] += 0.4
            shown.progress(step, 100)
            if step % 25 == 0:
                shown.record({"step": step, "score": step / 200, "loss": 1.0})
        shown.warning("mind\nthe gap")
    lines = file.getvalue().splitlines()
    assert lines[0] == "Training: 100 steps, about 40 s"
    assert "step 25: loss 1.00, score 12.5%, best 12.5%" in lines
    assert lines[-1] == "warning: mind the gap"
    assert "\x1b" not in file.getvalue()
    left = [line for line in lines if line.endswith(" left")]
    assert left, "a long stage says how long it still takes"
    done = int(left[0].split()[1])
    assert left[0].endswith(f"about {duration((100 - done) * 0.4)} left")


@pytest.mark.parametrize(
    ("told", "begun"),
    [
        ({}, 0),
        ({"estimate_seconds": 200, "steps": 1000}, 0),
        ({"estimate_seconds": 100, "steps": 1000}, 500),
    ],
)
def test_the_time_left_is_that_of_most_steps(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, int], begun: int
) -> None:
    """Neither a slow first step nor steps of an earlier process make it another."""
    clock = [0.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: clock[0])
    console, file = printed(force_terminal=False)
    with Display(console) as shown:
        shown.stage("training", told)
        clock[0] += 9.9
        for step in range(begun + 1, 1001):
            clock[0] += 0.2
            shown.progress(step, 1000)
    left = [line for line in file.getvalue().splitlines() if line.endswith(" left")]
    assert len(left) > 8
    for line in left[2:]:
        done = int(line.split()[1])
        assert line.endswith(f"about {duration((1000 - done) * 0.2)} left")


def test_decimals_suit_the_language() -> None:
    set_language("vi")
    console, file = printed(force_terminal=True)
    with Display(console) as shown:
        shown.stage("weights", {"rate": 0.0003})
        shown.record({"step": 5, "score": 0.5, "loss": 1.25})
    assert "Huấn luyện trọng số với tốc độ học 0,0003" in file.getvalue()
    assert "mất mát 1,25; điểm 50,0%" in file.getvalue()


def test_what_contexts_will_take_is_said_before_they_are_computed() -> None:
    about = {"rows": 2500, "bytes": 1_400_000_000, "estimate_seconds": 75.0}
    for live in (False, True):
        console, file = printed(force_terminal=live)
        with Display(console) as shown:
            shown.stage("context", about)
        assert "2,500 rows, 1.4 GB of memory or disk" in file.getvalue()
        assert live or "about 1 min 15 s" in file.getvalue()


def test_short_work_is_silent_without_a_terminal() -> None:
    console, file = printed(force_terminal=False)
    with Display(console) as shown:
        shown.stage("load", {})
        shown.stage("context", {"rows": 3, "bytes": 1_000_000, "estimate_seconds": 0.1})
        shown.progress(3, 3)
        shown.stage("training", {"estimate_seconds": 0.5, "steps": 4})
        shown.progress(4, 4)
    assert file.getvalue() == ""


def test_on_a_terminal_there_is_a_bar_for_each_stage() -> None:
    console, file = printed(force_terminal=True)
    with Display(console) as shown:
        shown.stage("load", {})
        shown.stage("training", {"estimate_seconds": 5, "steps": 10})
        shown.progress(5, 10)
        shown.record({"step": 5, "score": 0.5, "loss": 1.0})
        shown.stage("baselines", {"name": "majority"})
        shown.stage("baselines", {"name": "zero_shot"})
    last = file.getvalue().rpartition("Loading data and model")[2]
    assert "score 50.0%" in last
    assert last.count("Measuring baselines") == 1


def test_the_best_score_is_that_of_the_stage() -> None:
    console, file = printed(force_terminal=True)
    with Display(console) as shown:
        shown.stage("training", {"estimate_seconds": 5, "steps": 10})
        shown.record({"step": 5, "score": 0.9})
        shown.stage("baselines", {"name": "majority"})
        shown.stage("training", {"estimate_seconds": 5, "steps": 10})
        shown.record({"step": 5, "score": 0.5})
    assert "score 50.0%, best 50.0%" in file.getvalue()


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console, file = printed(force_terminal=True)
    console.print(comparison([("a", metric(0.5, 0.4, 0.6))], "macro_f1"))
    assert "\x1b[3" not in file.getvalue()


def test_counting_gives_a_function_of_done_and_total(capsys: pytest.CaptureFixture[str]) -> None:
    with counting("Work") as progress:
        progress(1, 2)
        progress(2, 2)
    assert capsys.readouterr().err == ""
