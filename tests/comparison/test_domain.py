"""The broad domain of hybrids: nothing that is held out is learned from."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from softprompt.comparison import CompareConfig, Comparison
from softprompt.comparison.domain import domain_of
from softprompt.comparison.given import other_of
from softprompt.comparison.job import Job
from softprompt.comparison.rates import lesson
from softprompt.errors import ConfigError, DataError
from softprompt.tasks import Task
from softprompt.training import Reporter

DOMAIN = importlib.import_module("softprompt.comparison.domain")


def test_held_texts_are_left_out_of_the_domain_however_they_are_spaced(
    job: Job, tmp_path: Path
) -> None:
    task = replace(
        job.task,
        test=tuple(
            replace(row, columns={"text": row.columns["text"].replace(" ", "  ")})
            for row in job.task.test
        ),
    )
    job = replace(job, task=task)
    held = [row.columns["text"] for row in (*task.validation, *task.test)]
    own = [f"Another passage, number {number}." for number in range(6)]
    file = tmp_path / "domain.txt"
    file.write_text("\n\n".join([*held, *own]), "utf-8")
    domain = domain_of(replace(job, how=job.how.model_copy(update={"domain": str(file)})))
    assert (domain.count, domain.left_out) == (len(own), len(held))


def test_a_domain_of_other_labels_reads_the_rows_as_the_task_does(
    begun: Any, tmp_path: Path
) -> None:
    begun("majority")
    file = tmp_path / "feedback.jsonl"
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    rows[0]["part"] = ""
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n", "utf-8")
    chosen = {"target": "label", "drop_empty": True, "choices": "good=tốt,bad=xấu"}
    comparison = Comparison(tmp_path / "run")
    config = comparison.config.model_copy(update={"task": comparison.config.task.replace(**chosen)})
    task = Task.from_file(config.data, config.task)
    job = Job(task, config, CompareConfig(domain_target="part"), tmp_path / "job", Reporter())
    # All rows that are trained on, but the one whose other label is empty.
    assert domain_of(job).count == sum(row.number != 1 for row in task.train)
    with pytest.raises(DataError, match="drop-empty"):
        plain = config.model_copy(update={"task": config.task.replace(drop_empty=False)})
        domain_of(replace(job, config=plain))


def test_the_tasks_own_answers_are_no_domain(job: Job) -> None:
    how = job.how.model_copy(update={"domain_target": job.task.target})
    with pytest.raises(ConfigError, match="'label' has the task's own answers"):
        domain_of(replace(job, how=how))


def test_passages_are_known_by_their_suffix_in_capitals_too(job: Job, tmp_path: Path) -> None:
    file = tmp_path / "DOMAIN.TXT"
    file.write_text("\n\n".join(f"Another passage, number {n}." for n in range(6)), "utf-8")
    assert domain_of(replace(job, how=job.how.model_copy(update={"domain": str(file)}))).count == 6


def test_hints_name_the_flags_of_the_file_that_they_are_about(job: Job, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("\n".join(["text,label", *(f"passage number {n},same" for n in range(40))]))
    asked = {"domain": str(file), "other": str(file)}
    with pytest.raises(DataError) as error:
        domain_of(replace(job, how=job.how.model_copy(update=asked)))
    assert "Check --domain-target" in error.value.hint
    with pytest.raises(DataError) as error:
        other_of(job.how.model_copy(update=asked))
    assert "Check --other-target" in error.value.hint


def test_texts_that_stand_twice_are_not_held_out(job: Job, tmp_path: Path) -> None:
    file = tmp_path / "domain.txt"
    own = [f"Another passage, number {number}." for number in range(6)]
    file.write_text("\n\n".join([*own, own[0]]), "utf-8")
    domain = domain_of(replace(job, how=job.how.model_copy(update={"domain": str(file)})))
    assert (domain.count, domain.left_out) == (6, 0)


def test_a_domain_of_other_labels_has_no_more_rows_than_everyone(job: Job) -> None:
    few = replace(job.task, train=job.task.train[:7])
    how = job.how.model_copy(update={"domain_target": "part"})
    assert domain_of(replace(job, task=few, how=how)).count == 7


def test_test_rows_do_not_choose_what_a_domain_taught(job: Job, tmp_path: Path) -> None:
    how = job.how.model_copy(update={"domain": str(tmp_path / "feedback.jsonl")})
    # What the domain holds out is, but for one row, what the task tests on.
    own, *tested = job.task.validation
    job = replace(job, task=replace(job.task, validation=job.task.test, test=tuple(tested)))
    held: list[Any] = []

    def noted(learner: Any, task: Any, brief: Any) -> Any:
        held.extend(task.validation)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DOMAIN, "of_task", noted)
        with pytest.raises(KeyboardInterrupt):
            learner = job.learner(job.backbone())
            brief = lesson(job, learner.backbone, 1e-3, 1)
            domain_of(replace(job, how=how)).material(learner, brief)
    assert [row.columns["text"] for row in held] == [own.columns["text"]]


def test_a_domain_file_keeps_no_passage_with_a_held_text_in_it(job: Job, tmp_path: Path) -> None:
    held = " ".join(row.columns["text"] for row in job.task.test)
    own = [f"Another passage, number {number}." for number in range(6)]
    file = tmp_path / "domain.txt"
    file.write_text("\n\n".join([f"Before it. {held} After it.", *own]), "utf-8")
    domain = domain_of(replace(job, how=job.how.model_copy(update={"domain": str(file)})))
    assert (domain.count, domain.left_out) == (len(own), 1)


def test_a_domain_file_keeps_no_part_of_a_held_text(job: Job, tmp_path: Path) -> None:
    parts = [f"Paragraph {n} of a long text, and it goes on for a while" for n in range(3)]
    row = replace(job.task.test[0], columns={"text": "\n\n".join(parts)})
    own = [f"Another passage, number {number}." for number in range(6)]
    file = tmp_path / "domain.txt"
    file.write_text("\n\n".join([*parts, *own]), "utf-8")
    job = replace(job, task=replace(job.task, test=(row,)))
    domain = domain_of(replace(job, how=job.how.model_copy(update={"domain": str(file)})))
    assert (domain.count, domain.left_out) == (len(own), len(parts))


def test_a_row_of_a_domain_with_an_empty_cell_is_left_out(job: Job, tmp_path: Path) -> None:
    file = tmp_path / "domain.csv"
    lines = ["text,label", *(f"passage number {n},{'ab'[n % 2]}" for n in range(40))]
    counts = []
    for rows in (lines, [*lines, ",a"]):
        file.write_text("\n".join(rows), "utf-8")
        named = replace(job, how=job.how.model_copy(update={"domain": str(file)}))
        counts.append(domain_of(named).count)
    assert counts == [35, 35]


@pytest.mark.parametrize("name", ["domain.csv", "domain.txt"])
def test_a_domain_in_another_encoding_is_refused_with_what_works(
    job: Job, tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    file.write_bytes("text,label\ncafé,good\nthé,bad\n".encode("cp1252"))
    with pytest.raises(DataError, match="UTF-8") as error:
        domain_of(replace(job, how=job.how.model_copy(update={"domain": str(file)})))
    # There is no flag for the encoding of this file.
    assert error.value.hint == "Save the file as UTF-8."
