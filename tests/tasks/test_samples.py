from __future__ import annotations

import unicodedata

import pytest

from softprompt.errors import UsageError
from softprompt.tasks.check import check
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.samples import LANGUAGES, load_sample, sample_path

FEWEST = {"en": 300, "vi": 600}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_sample_is_a_task_with_every_class_in_every_part(language: str) -> None:
    task = load_sample(language)
    parts = (task.train, task.validation, task.test)
    assert sum(map(len, parts)) >= FEWEST[language]
    assert task.warnings == ()
    assert set(task.labels) == {"positive", "neutral", "negative"}
    for part in parts:
        assert {row.answer for row in part} == set(task.labels)
        assert all(row.columns["topic"] for row in part)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_sample_has_no_doubtful_rows(language: str) -> None:
    report = check(TaskConfig(target="sentiment"), sample_path(language))
    doubtful = [problem for problem in report.problems if problem.check != "suspects"]
    assert doubtful == []


def test_the_vietnamese_sample_speaks_vietnamese() -> None:
    task = load_sample("vi")
    assert task.wording("positive") == "tích cực"
    assert unicodedata.is_normalized("NFC", sample_path("vi").read_text(encoding="utf-8"))


def test_settings_go_over_those_of_the_sample() -> None:
    assert len(load_sample("vi", limit=30).train) == 30


def test_another_language_is_refused() -> None:
    with pytest.raises(UsageError, match="no sample data in 'fr'") as error:
        load_sample("fr")
    assert "en, vi" in error.value.hint
