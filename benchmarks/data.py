"""The public tasks of the benchmarks, read from a folder beside the project.

2,000 training rows drawn by the seed, at most 500 validation rows of those that have nothing in
common with them (so another seed has others), the whole test file.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from softprompt.tasks import Row, Task

__all__ = ["DEFAULT_DATA", "FURTHER_TASKS", "METRIC", "TASKS", "guess", "has_data", "load_task"]

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
VALIDATION_ROWS = 500

TASKS: dict[str, dict[str, Any]] = {
    "vsfc": {
        "folder": "uit-vsfc",
        "files": ("train.jsonl", "dev.jsonl", "test.jsonl"),
        "input": "text",
        "target": "sentiment",
    },
    "sst2": {
        "folder": "sst2",
        "files": ("train.tsv", "dev.tsv", "test.tsv"),
        "input": "sentence",
        "target": "label",
        "choices": {"0": "negative", "1": "positive"},
    },
    "agnews": {
        "folder": "agnews",
        "files": ("train.csv", None, "test.csv"),
        "input": "title_and_text",
        "target": "category",
    },
}

FURTHER_TASKS: dict[str, dict[str, Any]] = {
    "vsfc_topic": {**TASKS["vsfc"], "target": "topic"},
    "boolq": {
        "folder": "boolq",
        "files": ("train.jsonl", None, "test.jsonl"),
        "template": "{passage}\nQuestion: {question}?\nAnswer: {answer}",
        "target": "answer",
    },
}
"""Tasks of the studies beside those of the other benchmarks."""

METRIC = {
    "vsfc": "macro_f1",
    "sst2": "accuracy",
    "agnews": "accuracy",
    "vsfc_topic": "macro_f1",
    "boolq": "accuracy",
}
"""What a task is judged by; the neutral class of UIT-VSFC is 5% of its rows."""

_ALL = TASKS | FURTHER_TASKS


def guess(metric: str, test: Mapping[str, Any]) -> float:
    """The score of answering the test rows' most frequent label always."""
    counts = [about["n"] for about in test["per_class"].values()]
    share = max(counts) / sum(counts)
    return share if metric == "accuracy" else 2 * share / (1 + share) / len(counts)


def has_data(name: str, data: Path) -> bool:
    """Whether a task's training rows are there."""
    return Path(data, _ALL[name]["folder"], _ALL[name]["files"][0]).is_file()


def load_task(name: str, data: Path, seed: int, rows: int) -> Task:
    """A task with rows drawn by a seed.

    Raises:
        FileNotFoundError: the data are not there.
    """
    settings = dict(_ALL[name])
    folder = data / settings.pop("folder")
    train, validation, test = settings.pop("files")
    if not (folder / train).is_file():
        raise FileNotFoundError(folder / train)
    files = {"validation": validation, "test": test}
    settings |= {split: str(folder / file) for split, file in files.items() if file}
    task = Task.from_file(folder / train, limit=rows, seed=seed, **settings)
    held = _apart(task.validation, task.train, task.inputs[0])
    random.Random(0).shuffle(held)
    return replace(task, validation=tuple(held[:VALIDATION_ROWS]))


def _apart(rows: tuple[Row, ...], others: tuple[Row, ...], column: str) -> list[Row]:
    """The rows whose text neither contains nor is part of another's.

    Many SST-2 rows are phrases of other rows; such a validation row would choose the prompt that
    has learned it by heart.
    """
    texts = {row.columns[column].strip() for row in others}
    return [
        row
        for row in rows
        if not any(
            text in row.columns[column] or row.columns[column].strip() in text for text in texts
        )
    ]
