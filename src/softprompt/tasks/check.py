"""Everything that is wrong or doubtful in a data set, as data.

Where `Task.from_file` stops at the first problem, this finds them all; it prints nothing. Knows the
register of checks and no single one.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.errors import SoftPromptError
from softprompt.tasks.checks import CHECKS
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.evidence import Evidence, Problem, Unmet
from softprompt.tasks.labels import Kind
from softprompt.tasks.parts import read_parts
from softprompt.tasks.rows import Row
from softprompt.tasks.task import Task, render_row, task_name
from softprompt.tasks.template import Chat, Rendered

__all__ = ["CheckReport", "check"]


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Attributes:
        problems: errors first, then by check; see `Problem`.
        parts: rows by part: {"train": 540, "validation": 61, "test": 59}.
        classes: rows by part and label; {} for generation.
        lengths: tokens of "context", "answer" and "total" as {"n", "min", "median", "p95",
            "max"}; {} without a tokenizer.
        example: what the model reads for the first training row, before its answer.
        example_answer: the answer that it learns there, with the white space before it.
        task: the task, None where an error keeps it from being made.
    """

    problems: tuple[Problem, ...]
    parts: dict[str, int]
    classes: dict[str, dict[str, int]]
    lengths: dict[str, dict[str, float]]
    example: Rendered | None
    example_answer: str
    task: Task | None

    @property
    def ok(self) -> bool:
        """Whether no problem is an error."""
        return all(problem.severity != "error" for problem in self.problems)

    @property
    def counts(self) -> dict[str, int]:
        """Problems by check."""
        return dict(Counter(problem.check for problem in self.problems))

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values; a slot of the example is {"prompt": length}."""
        parts = self.example.parts if self.example else ()
        return {
            "ok": self.ok,
            "problems": [problem.as_dict() for problem in self.problems],
            "counts": self.counts,
            "rows": self.parts,
            "classes": self.classes,
            "lengths": self.lengths,
            "example": {
                "context": [
                    part if isinstance(part, str) else {"prompt": part.length} for part in parts
                ],
                "answer": self.example_answer,
            },
        }


def check(
    config: TaskConfig | None,
    path: str | Path,
    *,
    encode: Callable[[str], list[int]] | None = None,
    window: int | Callable[[Kind], int] | None = None,
    chat: Chat | None = None,
    unmet: Unmet | None = None,
) -> CheckReport:
    """Runs every check on a data set and its validation and test files.

    Args:
        config: the settings that the task will have.
        path: a file or `hf:NAME`.
        encode: a tokenizer without special tokens; with it lengths are measured.
        window: tokens that context, answer and end token may take together: the model's window
            less the prompt's vectors and special tokens; by the task's kind where that matters.
        chat: the model's chat template, if it will be used.
        unmet: looks at what the task demands of answers (see `Evidence`).

    Raises:
        DataError: a file cannot be read at all, or its columns are absent or left open.
    """
    config = config or TaskConfig()
    parts = read_parts(path, config)

    def render(row: Row) -> Rendered:
        return render_row(row, parts.layout.template, chat)

    if callable(window):
        window = window(Evidence(config, parts, render).kind)
    evidence = Evidence(config, parts, render, encode, window, unmet)
    problems = [problem for name in CHECKS for problem in CHECKS.get(name)(evidence)]
    task: Task | None = None
    try:
        task = Task.from_parts(parts, config, name=task_name(path))
    except SoftPromptError as error:
        if all(problem.severity != "error" for problem in problems):
            problems.append(Problem("task", "error", error.message, error.hint))
    problems.sort(key=lambda problem: problem.severity != "error")
    first = next((row for _, row in evidence.full_rows()), None)
    rendered = None if first is None else render(first)
    return CheckReport(
        problems=tuple(problems),
        parts={name: len(rows) for name, rows in parts},
        classes=_classes(evidence),
        lengths={} if encode is None else _lengths(evidence),
        example=rendered,
        example_answer=_answer(first, rendered, config),
        task=task,
    )


def _answer(row: Row | None, rendered: Rendered | None, config: TaskConfig) -> str:
    if row is None or rendered is None or row.answer is None:
        return ""
    return rendered.answer_prefix + (config.choices or {}).get(row.answer, row.answer)


def _classes(evidence: Evidence) -> dict[str, dict[str, int]]:
    if evidence.kind != "classification":
        return {}
    counts = {
        name: Counter(row.answer for row in rows if row.answer is not None)
        for name, rows in evidence.parts
    }
    labels = sorted({label for counter in counts.values() for label in counter})
    return {name: {label: counter[label] for label in labels} for name, counter in counts.items()}


def _lengths(evidence: Evidence) -> dict[str, dict[str, float]]:
    pairs = [evidence.tokens(row) for _, row in evidence.full_rows()]
    if not pairs:
        return {}
    return {
        "context": _distribution([context for context, _ in pairs]),
        "answer": _distribution([answer for _, answer in pairs]),
        "total": _distribution([context + answer for context, answer in pairs]),
    }


def _distribution(values: Sequence[int]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "n": len(ordered),
        "min": ordered[0],
        "median": statistics.median(ordered),
        "p95": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))],
        "max": ordered[-1],
    }
