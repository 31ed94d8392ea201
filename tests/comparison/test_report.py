"""What the report says follows from the answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from softprompt.comparison import CompareConfig
from softprompt.comparison.report import _text, report
from softprompt.comparison.significance import p_value, shared_scores
from softprompt.comparison.verdicts import decided, recommended
from softprompt.comparison.words import left_out
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
    told = "The best of what is cheaper, best hand prompt, is no better than guessing. "
    assert recommended(chosen) == f"Choose: full fine-tuning. {told}Nothing dearer is measured."
    assert reported(task, {})["recommendation"] is None


def test_what_is_no_better_than_guessing_is_not_recommended() -> None:
    task = a_task("ab" * 100)
    coin = a_result("aabb" * 50, 0.5)
    results = {"majority": a_result("a" * 200, 1 / 3), "soft_prompt": coin}
    found = reported(task, results)
    # Beyond chance better than one answer throughout, by macro-F1.
    assert found["methods"]["majority"]["p_value"] < 0.05
    chosen = found["recommendation"]
    assert (chosen["method"], chosen["guesses"]) == ("majority", True)
    assert recommended(found).startswith("On these 200 test rows nothing is better than guessing")
    # Without the majority guess there is nothing else to name, and it is still only guessing.
    alone = reported(task, {"zero_shot": a_result("b" * 200, 1 / 3), "soft_prompt": coin})
    assert alone["recommendation"]["guesses"] and decided(alone) is None
    assert recommended(alone).startswith("On these 200 test rows nothing is better than guessing")
    # What tells something is chosen over a cheaper method that does not, be it as good or not.
    results["lora"] = a_result("ab" * 60 + "ba" * 40, 0.6)
    chosen = reported(task, results)
    assert chosen["recommendation"]["method"] == "lora"
    nearest = chosen["recommendation"]["cheaper"]
    assert (nearest["method"], nearest["guesses"]) == ("soft_prompt", True)
    assert "is cheaper, soft prompt, is no better than guessing." in recommended(chosen)


def test_too_few_rows_decide_nothing_whoever_is_ahead() -> None:
    task, right = a_task("ab" * 10), "ab" * 10
    near = right[:-2] + "ba"
    for ahead, behind in (("zero_shot", "soft_prompt"), ("soft_prompt", "zero_shot")):
        found = reported(task, {ahead: a_result(right, 1.0), behind: a_result(near, 0.9)})
        assert decided(found) is None
        assert "too few to tell the methods apart" in recommended(found)
    # A tie is one.
    tied = reported(task, {name: a_result(right, 1.0) for name in ("zero_shot", "soft_prompt")})
    assert "none scores higher than best hand prompt" in recommended(tied)
    # One that is beaten beyond chance does not tell the others apart.
    three = {"zero_shot": a_result("aabb" * 5, 0.5), "soft_prompt": a_result(right, 1.0)}
    three["lora"] = a_result(near, 0.9)
    assert decided(reported(task, three)) is None
    # What differs from all others beyond chance is chosen of however few rows.
    results = {"zero_shot": a_result("aabb" * 5, 0.5), "soft_prompt": a_result(right, 1.0)}
    clear = reported(task, results)
    assert clear["recommendation"]["told_apart"] and decided(clear) == "soft_prompt"


def test_what_the_window_has_no_room_for_is_told() -> None:
    short = {"methods": {"few_shot": {"test": {"dropped": 1, "shortened": 1478}}}}
    assert left_out(short) == [
        "examples in context: 1 test row does not fit into the window; the score leaves it out.",
        "examples in context: 1,478 test rows have room in the window for fewer of them.",
    ]
    assert left_out({"methods": {"lora": {"test": {}}}}) == []


def test_examples_show_the_question_behind_a_long_passage() -> None:
    columns = {"passage": "word " * 500, "question": "is it so?", "note": "n" * 30}
    task = replace(a_task("ab"), inputs=("passage", "question", "note"))
    text = _text(task, replace(task.test[0], columns=columns))
    passage, question, note = text.split("\n")
    assert (question, note) == ("is it so?", "n" * 30)
    assert passage.startswith("word word") and passage.endswith("…")
    assert len(text) == 400
    both = {"passage": "p" * 900, "question": "q" * 900, "note": ""}
    text = _text(task, replace(task.test[0], columns=both))
    assert len(text) <= 400 and text.count("p") == text.count("q") == 198


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
    # The second answers only those that the first has right as well.
    whole, partly = a_result(right[:28] + "ba" * 6, 0.7), a_result(right, 1.0)
    partly["answers"][28:] = [None] * 12
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
