"""What the report says follows from the answers."""

from __future__ import annotations

from typing import Any

import pytest

from softprompt.comparison import CompareConfig
from softprompt.comparison.report import report
from softprompt.comparison.significance import p_value, shared_scores
from softprompt.comparison.verdicts import recommended
from softprompt.evaluation import score_generation, value
from softprompt.tasks import Choice, Row, Task


def a_task(answers: str) -> Task:
    rows = tuple(Row("f", n, {"text": f"t{n}"}, answer) for n, answer in enumerate(answers, 1))
    choices = (Choice("a", "a"), Choice("b", "b"))
    return Task("t", "classification", None, choices, "label", ("text",), (), (), rows)


def a_result(answers: str, accuracy: float) -> dict[str, Any]:
    test = {"n": len(answers), "accuracy": accuracy, "macro_f1": accuracy, "interval": [0, 1]}
    return {
        "test": test,
        "answers": list(answers),
        "trainable": 0,
        "stored_bytes": 0,
        "seconds": {"search": 1800.0, "training": 1800.0},
        "energy": {"kwh": 2.0},
    }


def reported(task: Task, results: dict[str, Any], metric: str = "macro_f1", **how: Any) -> Any:
    return report(task, metric, results, {}, how=CompareConfig(**how))


def test_the_cheapest_that_is_as_good_is_recommended() -> None:
    task = a_task("ab" * 20)
    right, poor, near = "ab" * 20, "aa" * 20, "ab" * 19 + "aa"
    results = {
        "zero_shot": a_result(poor, 0.5),
        "soft_prompt": a_result(near, 0.975),
        "full": a_result(right, 1.0),
    }
    found = reported(task, results)
    assert found["recommendation"]["method"] == "soft_prompt"
    assert found["recommendation"]["best"] == "full"
    assert found["recommendation"]["points"] == 2.5
    assert found["recommendation"]["p_value"] > 0.05
    assert found["methods"]["zero_shot"]["p_value"] <= 0.001
    assert found["recommendation"]["cheaper"] is None
    results["soft_prompt"] = a_result(poor, 0.5)
    chosen = reported(task, results)
    assert chosen["recommendation"]["method"] == "full"
    # How far what is cheaper is behind is said, since so small a difference may not be worth it.
    nearest = chosen["recommendation"]["cheaper"]
    assert (nearest["method"], nearest["points"]) == ("zero_shot", 50.0)
    assert nearest["p_value"] <= 0.001
    told = "The best of what is cheaper, best hand prompt, is 50.0 points behind (p < 0.001). "
    assert recommended(chosen) == f"Choose: full fine-tuning. {told}Nothing dearer is measured."
    assert reported(task, {})["recommendation"] is None


@pytest.mark.parametrize(
    ("score", "told"),
    [
        (0.6, {"score": 0.6, "seconds": {"soft_prompt": 50.0, "lora": None, "full": 90.0}}),
        # What is kept may be better than every validation of the training was.
        (0.7, {"score": 0.7, "seconds": {"soft_prompt": 3600.0, "lora": None, "full": 90.0}}),
        (0.0, None),
        (None, None),
    ],
)
def test_the_time_to_the_score_of_the_prompt_that_is_kept(score: Any, told: Any) -> None:
    results = {name: a_result("ab", 0.5) for name in ("zero_shot", "soft_prompt", "lora", "full")}
    results["soft_prompt"] |= {"suited_score": score, "history": [[10.0, 0.5], [50.0, 0.65]]}
    results["soft_prompt"]["validation_score"] = 0.65
    results["lora"]["history"] = [[30.0, 0.5]]
    results["full"]["history"] = [[30.0, 0.5], [90.0, 0.7], [95.0, 0.8]]
    found = reported(a_task("ab"), results)
    assert found["time_to_accuracy"] == told
    # One score for all methods; what trainings are judged by is another.
    assert found["methods"]["soft_prompt"]["validation"] == 0.65


def test_examples_are_of_rows_on_which_trained_methods_differ() -> None:
    right = "ab" * 100
    # The untrained one differs from all on half of the rows, and both trained ones are wrong on
    # others; neither tells anything.
    results = {
        "majority": a_result("a" * 200, 0.5),
        "soft_prompt": a_result("bb" + right[2:160] + "ba" * 20, 0.8),
        "full": a_result("bb" + right[2:60] + "ba" * 20 + right[100:], 0.8),
    }
    found = reported(a_task(right), results)["examples"]
    rows = [example["row"] for example in found]
    assert len(rows) == len(set(rows)) == 20
    assert all(161 <= row <= 200 for row in rows[::2]), "the soft prompt is wrong"
    assert all(61 <= row <= 100 for row in rows[1::2]), "and right"
    # They are of all such rows, not of the first.
    assert max(rows[::2]) > 190 and max(rows[1::2]) > 90
    for example in found:
        assert example["answers"]["soft_prompt"] != example["answers"]["full"]
        assert example["right"] in example["answers"].values()
    # Where one kind is rare the other fills the place.
    results["full"] = a_result("bb" + right[2:60] + "ba" + right[62:], 0.9)
    found = reported(a_task(right), results)["examples"]
    wrong = [e for e in found if e["answers"]["soft_prompt"] != e["right"]]
    assert (len(wrong), len(found)) == (18, 20)
    # With one that trains, or none, all that were asked count.
    del results["full"]
    assert len(reported(a_task(right), results)["examples"]) == 20
    assert reported(a_task(right), {"full": results["soft_prompt"]})["examples"] == []


def test_the_metric_decides_what_a_difference_is() -> None:
    # Right answers alone would hide what macro-F1 shows: a class that is never named.
    rare = a_task("a" * 144 + "b" * 16)
    blind, seeing = a_result("a" * 160, 0.9), a_result("a" * 120 + "b" * 40, 0.85)
    blind["test"]["macro_f1"], seeing["test"]["macro_f1"] = 0.474, 0.74
    results = {"majority": blind, "soft_prompt": seeing}
    assert reported(rare, results)["recommendation"]["method"] == "soft_prompt"
    assert reported(rare, results, "accuracy")["recommendation"]["method"] == "majority"
    by_accuracy = reported(rare, results, "accuracy")["methods"]["majority"]["p_value"]
    assert by_accuracy > reported(rare, results)["methods"]["majority"]["p_value"]


def test_of_chrf_whole_corpora_are_told_apart() -> None:
    # On most rows the second is better; in letters the first is, by far.
    right = ["a long sentence of many words that is easy to compare"] * 8 + ["xy"] * 24
    first = right[:8] + ["ab"] * 24
    second = ["zz"] * 8 + right[8:]
    found = {
        name: value(score_generation(right, given), "chrf")
        for name, given in (("first", first), ("second", second))
    }
    assert found["first"] > found["second"] + 0.3
    assert p_value((), "chrf", right, first, second) < 0.05
    assert p_value((), "chrf", right, first, first) == 1
    assert p_value((), "chrf", right, [*right[:-1], "xx"], right) > 0.1


def test_rows_that_are_not_answered_take_no_part() -> None:
    task = a_task("ab" * 20)
    mine, theirs = a_result("ab" * 20, 1.0), a_result("aa" * 20, 0.5)
    whole = reported(task, {"soft_prompt": mine, "full": theirs})["methods"]["full"]["p_value"]
    mine["answers"] = [*mine["answers"][:4], *[None] * 36]
    part = reported(task, {"soft_prompt": mine, "full": theirs})["methods"]["full"]["p_value"]
    assert whole < 0.01 < part
    mine["answers"] = [None] * 40
    none = reported(task, {"soft_prompt": mine, "full": theirs})
    assert none["methods"]["full"]["p_value"] is None


def test_what_leaves_out_the_hard_rows_is_not_best_for_it() -> None:
    task = a_task("ab" * 20)
    right = "ab" * 20
    # The second answers only the half that the first has right as well.
    whole, partly = a_result(right[:20] + "ba" * 10, 0.5), a_result(right, 1.0)
    partly["answers"][20:] = [None] * 20
    found = reported(task, {"zero_shot": whole, "full": partly})["recommendation"]
    assert (found["method"], found["best"], found["points"]) == ("zero_shot", "zero_shot", 0)
    none = {"zero_shot": a_result("b" * 40, 0.5), "full": partly}
    none["zero_shot"]["answers"][:20] = [None] * 20
    assert reported(task, none)["recommendation"]["best"] == "full"
    # Of three rows nothing could be beaten beyond chance; they do not do beside forty.
    few = a_result(right, 1.0)
    few["answers"][3:] = [None] * 37
    chosen = reported(task, {"own_template": few, "soft_prompt": a_result(right, 1.0)})
    assert chosen["recommendation"]["method"] == "soft_prompt"


def test_terms_on_shared_rows_are_those_of_rows_that_need_any() -> None:
    references = ["giảng viên tốt", "ổn", "ổn", "ổn", "sinh viên vui"]
    one = ["tốt", "ổn", "ổn", "ổn", None]
    other = ["giảng viên", "ổn", "ổn", "ổn", "sinh viên"]
    demands = {"terms": ("giảng viên", "sinh viên")}
    found = shared_scores((), "term_adherence", references, [one, other], demands)
    assert found == [0.0, 1.0]
    assert shared_scores((), "term_adherence", references, [[None] * 5, other], demands) is None


def test_money_follows_from_hours_and_energy() -> None:
    results = {"full": a_result("ab", 1.0)}
    task = a_task("ab")
    assert reported(task, results)["methods"]["full"]["money"] is None
    priced = reported(task, results, price_per_hour=2.0, price_per_kwh=0.25)
    assert priced["methods"]["full"]["money"] == pytest.approx(2.0 * 1 + 0.25 * 2)


def test_examples_are_rows_that_methods_answer_differently() -> None:
    task = a_task("abab")
    results = {"soft_prompt": a_result("abbb", 0.75), "full": a_result("aaab", 0.75)}
    found = reported(task, results)["examples"]
    # The row that the soft prompt has wrong comes first.
    assert [example["text"] for example in found] == ["t3", "t2"]
    assert found[0]["answers"] == {"soft_prompt": "b", "full": "a"}
    assert found[0]["right"] == "a"
