"""Which rows count: those that do not fit, are not answered, or are shown."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from tiny import tiny_backbone

from softprompt.comparison import Comparison
from softprompt.comparison.energy import added
from softprompt.comparison.job import Job, Trained
from softprompt.comparison.measures import _latency, _score
from softprompt.comparison.methods.baselines import asked
from softprompt.comparison.verdicts import recommended
from softprompt.comparison.words import left_out
from softprompt.comparison.work import Taught
from softprompt.errors import DataError, UsageError
from softprompt.inference.baselines import BASELINES
from softprompt.prompts import Layout
from softprompt.tasks import Template

FEW_SHOT = importlib.import_module("softprompt.inference.baselines.few_shot")


def test_rows_that_do_not_fit_take_no_part_and_the_others_do(job: Job) -> None:
    long = replace(job.task.test[0], columns={"text": "word " * 400})
    task = replace(job.task, test=(long, *job.task.test))
    for name in ("zero_shot", "few_shot"):
        # What is chosen does not depend on test rows, though the first of them do not fit.
        assert asked(name, replace(job, task=replace(job.task, test=(long,)))).details
        trained = asked(name, replace(job, task=task))
        assert trained.seconds["search"] > 0
        answered = trained.work.answered(task, task.test)
        assert answered.texts[0] is None
        assert None not in answered.texts[1:]


def test_demonstrations_are_drawn_once(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = asked("few_shot", job)
    first = trained.work.answered(job.task, job.task.test)
    monkeypatch.setattr(FEW_SHOT, "in_turn", pytest.fail)
    assert trained.work.answered(job.task, job.task.test) == first


def test_wordings_that_fill_the_window_are_not_chosen(job: Job) -> None:
    many = " ".join(["word"] * 300)
    templates = (f"{many} {{text}} {{answer}}", "{text} is {answer}")
    request = replace(job.request(tiny_backbone()), templates=templates)
    assert BASELINES.get("zero_shot")(request)["template"] == templates[1]
    with pytest.raises(DataError, match="fits into the model's window with any"):
        BASELINES.get("zero_shot")(replace(request, templates=(templates[0],) * 2))


def test_what_is_recommended_is_said_as_it_is() -> None:
    def told(chosen: str, *methods: str) -> str:
        found = {
            "recommendation": {"method": chosen, "best": chosen, "points": 0.0, "p_value": None},
            "methods": {name: {"test": {"n": 30}} for name in methods},
        }
        return recommended(found)

    assert told("majority", "majority", "full").startswith(
        "On these 30 test rows nothing is better"
    )
    assert told("soft_prompt", "soft_prompt", "full").endswith("Nothing dearer is better.")
    # A report of before does not say by how much.
    assert told("full", "soft_prompt", "full").endswith(
        "What is cheaper is beaten beyond chance. Nothing dearer is measured."
    )
    assert told("soft_prompt", "soft_prompt").endswith("Nothing else is measured.")
    # What was not measured is not said to be no better than guessing.
    assert told("majority", "majority").startswith("Only the majority guess is measured")


def test_rows_that_are_not_answered_are_not_timed(job: Job) -> None:
    class Timed:
        taught = None
        rows: ClassVar[list[Any]] = []

        def seconds(self, task: Any, row: Any) -> float:
            self.rows.append(row)
            return 1.0

    work: Any = Timed()
    answers = [None, *["x"] * (len(job.task.test) - 1)]
    found = _latency(job, Trained(work), answers)
    assert found["n"] == 2
    assert job.task.test[0] not in Timed.rows
    with pytest.raises(DataError, match="No test row was answered"):
        _latency(job, Trained(work), [None] * len(job.task.test))


def test_demonstrations_of_which_no_row_fits_are_told(job: Job) -> None:
    request = job.request(tiny_backbone())
    long = replace(job.task.test[0], columns={"text": "word " * 2000})
    with pytest.raises(DataError, match="None of the 1 test rows fits"):
        BASELINES.get("few_shot")(replace(request, task=replace(job.task, test=(long,))))


def test_rows_that_a_score_leaves_out_are_told() -> None:
    methods = {"few_shot": {"test": {"n": 8, "dropped": 3}}, "lora": {"test": {"n": 11}}}
    (line,) = left_out({"methods": methods})
    assert line.endswith(": 3 test rows do not fit into the window; the score leaves them out.")
    methods["few_shot"]["test"]["dropped"] = 1
    assert "1 test row does not fit" in left_out({"methods": methods})[0]


def test_vectors_in_slots_are_asked_about_another_task_too(job: Job) -> None:
    backbone = tiny_backbone()
    prompts = (torch.zeros(3, backbone.hidden_size),)
    side = Taught(backbone=backbone, layout=Layout(backbone, "slots", 3), prompts=prompts)
    other = replace(job.task, template=Template("{text}\nMood: {answer}"))
    assert _score(side, other)["n"] == len(job.task.test)


def test_general_text_that_has_changed_is_told(begun: Any, tmp_path: Path) -> None:
    file = tmp_path / "general.txt"
    file.write_text("One passage of some eight words or more here.", "utf-8")
    comparison = begun("majority", general=str(file))
    file.write_text("Another passage of some eight words or more here.", "utf-8")
    with pytest.raises(UsageError, match=r"general\.txt"):
        Comparison(comparison.directory.path).measure("majority")


def test_energies_add_up() -> None:
    one = {"joules": 2.0, "kwh": 1.0, "sources": ["estimated"], "cpu_seconds": 3.0}
    other = {**one, "sources": ["rapl"]}
    assert added(None, one) == one
    assert added(one, other) == {
        "joules": 4.0,
        "kwh": 2.0,
        "sources": ["estimated", "rapl"],
        "cpu_seconds": 6.0,
    }
