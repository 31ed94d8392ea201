"""`softprompt advise`: from flags, from a report, from questions; in two languages; mistakes."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from comparison.test_advice import a_report

from cli.conftest import Shell
from softprompt.cli.advice import _NEXT


def test_advice_from_flags(shell: Shell) -> None:
    words = ["--rows", 500, "--hardware", "cpu", "--tasks", 8, "--private", "yes"]
    value = shell("advise", *words, "--json").value
    assert value["choice"] == "soft_prompt"
    assert value["situation"]["private"] is True
    assert value["excluded"] == ["hosted"]
    shown = shell("advise", *words).out
    assert "Recommended: a soft prompt." in shown
    assert "rests on rules of thumb" in shown
    assert "the texts must stay" in shown
    assert "softprompt tune DATA" in shown


@pytest.mark.parametrize("way", ["hand_prompt", "lora", "full"])
def test_what_is_advised_next_is_a_whole_command(way: str) -> None:
    assert "--output DIR" in _NEXT[way]


def test_advice_from_measurements(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text(json.dumps(a_report("lora", "full", 0.3)))
    value = shell("advise", "--report", file, "--json").value
    assert (value["choice"], value["basis"]) == ("lora", "measurements")
    shown = shell("advise", "--report", tmp_path).out
    assert "Recommended: LoRA." in shown
    assert "rules of thumb" not in shown
    assert "full fine-tuning is 1.5 points ahead (p = 0.30)" in shown
    file.write_text(json.dumps(a_report("lora_prompt", "full", 0.3)))
    assert "Recommended: LoRA + soft prompt." in shell("advise", "--report", file).out
    ahead = a_report("soft_prompt", "full", 0.01)
    nearest = {"method": "soft_prompt", "points": 0.25, "p_value": 0.0004}
    ahead["recommendation"] |= {"method": "full", "p_value": None, "cheaper": nearest}
    file.write_text(json.dumps(ahead))
    told = "The best of what is cheaper, soft prompt, is 0.2 points behind (p < 0.001). Nothing"
    assert f"full fine-tuning is best. {told}" in shell("advise", "--report", file).out
    alone = a_report("lora", "lora", None)
    alone["methods"] = {"lora": alone["methods"]["lora"]}
    file.write_text(json.dumps(alone))
    assert "LoRA is best. Nothing else is measured." in shell("advise", "--report", file).out
    alone["methods"]["of_tomorrow"] = alone["methods"]["lora"]
    file.write_text(json.dumps(alone))
    assert "LoRA is best." in shell("advise", "--report", file).out
    file.write_text(json.dumps(a_report("lora", "full", 0.3)))
    best = shell("advise", "--report", tmp_path, "--quality", "best").out
    assert "Recommended: full fine-tuning." in best
    assert "LoRA is cheaper and 1.5 points behind" in best
    file.write_text(json.dumps(a_report("majority", "full", 0.3)))
    assert "This model does not carry the task" in shell("advise", "--report", file).out
    file.write_text(json.dumps(a_report("majority", "zero_shot", 0.3)))
    shown = shell("advise", "--report", file).out
    assert "no method that learns is measured" in shown and "not carry" not in shown


def test_advice_in_vietnamese(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTPROMPT_LANG", "vi")
    shown = shell("advise", "--rows", 5).out
    assert "Recommended" not in shown
    assert "Nên chọn" in shown
    # Machines are given the sentences that people read.
    reasons = shell("advise", "--rows", 5, "--json").value["reasons"]
    assert all(reason["why"] in shown for reason in reasons)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_short_questions_are_asked_where_nothing_is_said(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An answer that cannot be is asked for again; an empty one leaves the question open.
    monkeypatch.setattr(sys, "stdin", Terminal("many\n5\nnone\n\n\nyes\n\n\n"))
    ended = shell("advise")
    assert ended.code == 0
    assert "How many labelled rows" in ended.err
    assert "--rows cannot be 'many'" in ended.err
    assert "Recommended: a prompt by hand." in ended.out
    assert "tasks = 1" in ended.out


def test_a_question_that_is_not_answered_ends_it(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("5\n"))
    ended = shell("advise")
    assert ended.code == 130
    assert "Interrupted." in ended.err and "Traceback" not in ended.err


@pytest.mark.parametrize(("said", "private"), [("có", True), ("co", True), ("không", False)])
def test_yes_and_no_have_other_words(shell: Shell, said: str, private: bool) -> None:
    assert shell("advise", "--private", said, "--json").value["situation"]["private"] is private


def test_mistakes(shell: Shell, tmp_path: Path) -> None:
    assert "--hardware cannot be 'gpus'" in shell.mistake("advise", "--hardware", "gpus")
    assert "Did you mean 'gpu'" in shell.mistake("advise", "--hardware", "gpus")
    assert "--rows cannot be '-3'" in shell.mistake("advise", "--rows", -3)
    assert shell("advise", "--rows", 0).code == 0
    assert "whole number, 1 or more" in shell.mistake("advise", "--tasks", 0)
    absent = tmp_path / "absent.json"
    assert "holds no report" in shell.mistake("advise", "--report", absent)
    absent.write_text("[" * 100_000)
    assert "holds no report" in shell.mistake("advise", "--report", absent)
    absent.write_text("[]")
    assert "holds no report" in shell.mistake("advise", "--report", absent)
    absent.write_text("{}")
    assert "no report of a comparison" in shell.mistake("advise", "--report", absent)
