"""Whether answers are labels to choose among, which, and how each is worded.

Knows rows and their answers, nothing of files or templates.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from softprompt.errors import DataError, nearest
from softprompt.locale import _
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.rows import Row
from softprompt.tasks.text import one_line

__all__ = [
    "Choice",
    "Kind",
    "are_numbers",
    "infer_kind",
    "make_choices",
    "refuse_rare",
    "refuse_unknown",
    "task_kind",
]

Kind = Literal["classification", "generation"]

_MOST_LABELS = 50
_LONGEST_LABEL = 50  # characters
_ROWS_PER_LABEL = 3


@dataclass(frozen=True)
class Choice:
    """One of the answers of a classification: `label` in the file, `wording` for the model."""

    label: str
    wording: str


def infer_kind(answers: Sequence[str]) -> Kind:
    """Classification where 2 to 50 short answers repeat, 3 rows each on average; else generation.

    Raises:
        DataError: all of three or more answers are the same.
    """
    distinct = set(answers)
    if len(distinct) == 1 and len(answers) >= _ROWS_PER_LABEL:
        raise DataError(
            _("Every row has the answer {answer!r}, so there is nothing to learn.").format(
                answer=answers[0]
            ),
            _("Check --target, or add rows with other answers."),
        )
    short = all(len(answer) <= _LONGEST_LABEL and "\n" not in answer for answer in distinct)
    few = 2 <= len(distinct) <= _MOST_LABELS
    repeated = len(answers) >= _ROWS_PER_LABEL * len(distinct)
    return "classification" if short and few and repeated else "generation"


def task_kind(answers: Sequence[str], config: TaskConfig) -> Kind:
    """The kind that the settings name, or that the training answers look like.

    Raises:
        DataError: the settings leave it open, and all answers are the same.
    """
    if config.choices is not None:
        return "classification"
    return infer_kind(answers) if config.kind == "auto" else config.kind


def make_choices(answers: Iterable[str], wordings: Mapping[str, str] | None) -> tuple[Choice, ...]:
    """The labels among the answers with their wordings.

    Labels with a given wording stand first, in the order given; the others follow by number or
    alphabet and keep their own words.

    Raises:
        DataError: there is one label only, a wording is for a label that no row has, or two
            labels would have the same wording.
    """
    given = dict(wordings or {})
    found = sorted(set(answers), key=_order)
    for label in given:
        if label not in found:
            raise DataError(
                _("A wording is given for the label {label!r}, which no training row has.").format(
                    label=label
                ),
                _nearest(label, found),
            )
    if len(found) < 2:
        raise DataError(
            _("There is one label only, {label!r}, so there is nothing to choose.").format(
                label=found[0]
            ),
            _("Check --target, or add rows with other labels."),
        )
    choices = [Choice(label, wording) for label, wording in given.items()]
    choices += [Choice(label, label) for label in found if label not in given]
    owners: dict[str, str] = {}
    for choice in choices:
        if choice.wording in owners:
            raise DataError(
                _("The labels {one!r} and {other!r} have the same wording {wording!r}.").format(
                    one=owners[choice.wording], other=choice.label, wording=choice.wording
                ),
                _("Word them differently with --choices label=wording,..."),
            )
        owners[choice.wording] = choice.label
    return tuple(choices)


def refuse_unknown(rows: Iterable[Row], labels: Sequence[str]) -> None:
    """Refuses rows whose label is none of those.

    Raises:
        DataError: names the first such row, its label and the nearest that there is.
    """
    known = set(labels)
    for row in rows:
        if row.answer is not None and row.answer not in known:
            raise DataError(
                _("{place} has the unknown label {label!r}.").format(
                    place=row.place, label=row.answer
                ),
                _nearest(row.answer, labels),
            )


def refuse_rare(train: Iterable[Row], labels: Iterable[str]) -> None:
    """Refuses labels with fewer than two training rows.

    Raises:
        DataError: names the label and, where there is one, its row.
    """
    counts = Counter(row.answer for row in train)
    for label in labels:
        if counts[label] < 2:
            cause = (
                _("The label {label!r} has a single training row.")
                if counts[label]
                else _("The label {label!r} has no training row.")
            )
            raise DataError(
                cause.format(label=label),
                _("Merge it with another label, remove it, or add rows of it."),
            )


def are_numbers(labels: Iterable[str]) -> bool:
    """Whether every label is an integer, so that its wording says nothing."""
    return all(re.fullmatch(r"[+-]?\d+", label) for label in labels)


def are_quantities(answers: Iterable[str]) -> bool:
    """Whether every answer is a number, with whatever signs for thousands, decimals or percent."""
    return all(re.fullmatch(r"[+-]?\d+([.,]\d+)*\s?%?", answer.strip()) for answer in answers)


def _nearest(label: str, labels: Iterable[str]) -> str:
    return nearest(label, [one_line(other, _LONGEST_LABEL) for other in labels])


def _order(label: str) -> tuple[bool, int, str]:
    number = re.fullmatch(r"[+-]?[0-9]{1,18}", label)
    return (number is None, int(label) if number else 0, label)
