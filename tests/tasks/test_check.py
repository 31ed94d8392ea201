from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest

from softprompt.errors import DataError
from softprompt.tasks.check import check
from softprompt.tasks.checks import CHECKS
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.task import Task

from .conftest import Write, reviews


def letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def test_a_good_file_has_no_problems(write: Write) -> None:
    path = write("d.jsonl", reviews(200))
    report = check(None, path)
    assert report.ok
    assert report.problems == ()
    assert report.task == Task.from_file(path)
    assert sum(report.parts.values()) == 200
    assert set(report.classes["train"]) == {"bad", "good"}
    assert report.lengths == {}


def test_the_report_is_json(write: Write) -> None:
    rows = [*reviews(100), {"text": "", "label": "good"}]
    config = TaskConfig(template="{prompt:4}{text}\nIt was {answer}", choices={"bad": "terrible"})
    report = check(config, write("d.jsonl", rows), encode=letters)
    value = json.loads(json.dumps(report.as_dict()))
    assert value["ok"] is False
    assert value["counts"] == {"empty": 1}
    assert value["problems"][0] == {
        "check": "empty",
        "severity": "error",
        "cause": "The input is empty.",
        "cure": value["problems"][0]["cure"],
        "source": "d.jsonl",
        "row": 101,
        "column": "text",
    }
    assert value["example"] == {
        "context": [{"prompt": 4}, "visit 1: stale coffee\nIt was"],
        "answer": " terrible",
    }


def test_lengths_are_measured_in_tokens(write: Write) -> None:
    rows = [{"text": "x" * (index + 1), "label": "ab"[index % 2]} for index in range(100)]
    lengths = check(None, write("d.jsonl", rows), encode=letters).lengths
    # the template adds 7 characters; an answer is a space, one letter and the end token
    assert lengths["context"] == {"n": 100, "min": 8, "median": 57.5, "p95": 103, "max": 107}
    assert lengths["answer"] == {"n": 100, "min": 3, "median": 3, "p95": 3, "max": 3}
    assert lengths["total"]["max"] == 110


BAD: list[Sequence[Mapping[str, object]]] = [
    [*reviews(), {"text": " ", "label": "good"}],
    [*reviews(), {"text": "no label", "label": ""}],
    [*reviews(), {"text": "one of a kind", "label": "unique"}],
    [{**row, "label": "good"} for row in reviews()],
    [{"text": "a", "label": "good"}, {"text": "b", "label": "bad"}],
]
DOUBTFUL: list[Sequence[Mapping[str, object]]] = [
    reviews(),
    reviews() * 2,
    [*reviews(), {**reviews()[0], "label": "bad"}],
]


@pytest.mark.parametrize(
    ("rows", "ok"), [*((rows, False) for rows in BAD), *((rows, True) for rows in DOUBTFUL)]
)
def test_errors_are_what_the_task_refuses(
    write: Write, rows: Sequence[Mapping[str, object]], ok: bool
) -> None:
    path = write("d.jsonl", rows)
    report = check(None, path)
    assert report.ok is ok
    assert (report.task is not None) is ok
    if not ok:
        with pytest.raises(DataError):
            Task.from_file(path)


def test_an_error_that_no_check_knows_is_reported_as_the_task_says_it(write: Write) -> None:
    report = check(TaskConfig(choices={"goood": "x"}), write("d.jsonl", reviews()))
    assert [problem.check for problem in report.problems] == ["task"]
    assert "'goood', which no training row has" in report.problems[0].cause


def test_errors_come_first(write: Write) -> None:
    rows = [*reviews(), dict(reviews()[0]), {"text": "", "label": "good"}]
    severities = [problem.severity for problem in check(None, write("d.jsonl", rows)).problems]
    assert severities == sorted(severities)
    assert set(severities) == {"error", "warning"}


def test_a_file_that_cannot_be_read_is_an_exception(write: Write) -> None:
    with pytest.raises(DataError, match="is empty"):
        check(None, write("d.csv", ""))


def test_conversations_are_checked(write: Write) -> None:
    rows = [
        {
            "messages": [
                {"role": role, "content": f"{role} {index}"} for role in ("user", "assistant")
            ]
        }
        for index in range(40)
    ]
    report = check(None, write("d.jsonl", rows), encode=letters, window=100)
    assert report.ok
    assert report.classes == {}


def test_the_checks() -> None:
    assert CHECKS.names() == [
        "classes", "conflicts", "cut", "demands", "duplicates", "empty", "encoding", "long", "near",
        "overlap", "spelling", "suspects",
    ]  # fmt: skip
