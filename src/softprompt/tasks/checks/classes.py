"""Labels with too few rows, without rows in a part, or unknown to the training rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from softprompt.errors import nearest
from softprompt.locale import _, ngettext
from softprompt.tasks.evidence import CHECKS, Evidence, Problem
from softprompt.tasks.rows import Row
from softprompt.tasks.text import one_line

__all__ = ["FEWEST_ROWS", "classes"]

FEWEST_ROWS = 8


@CHECKS.register("classes")
def classes(evidence: Evidence) -> Iterator[Problem]:
    """Errors for labels with fewer than two training rows, warnings below eight and for gaps."""
    if evidence.kind != "classification":
        return
    counts = {name: Counter[str]() for name, _rows in evidence.parts}
    for part, row in evidence.full_rows():
        counts[part][str(row.answer)] += 1
    yield from _unknown(evidence, counts["train"])
    yield from _small(evidence, counts["train"])
    for part in ("validation", "test"):
        if not counts[part]:
            continue
        for label in sorted(counts["train"]):
            if not counts[part][label]:
                yield _problem(
                    evidence,
                    "warning",
                    _("The label {label!r} has no {part} rows.").format(label=label, part=_(part)),
                    _("Add rows of it, or it goes unmeasured."),
                )


def _unknown(evidence: Evidence, train: Counter[str]) -> Iterator[Problem]:
    for _part, row in evidence.full_rows():
        if not train[str(row.answer)]:
            yield _problem(
                evidence,
                "error",
                _("No training row has the label {label!r}.").format(label=row.answer),
                nearest(str(row.answer), [one_line(label, 50) for label in train]),
                row,
            )


def _small(evidence: Evidence, train: Counter[str]) -> Iterator[Problem]:
    if len(train) == 1:
        yield _problem(
            evidence,
            "error",
            _("Every training row has the label {label!r}.").format(label=next(iter(train))),
            _("Check --target, or add rows with other labels."),
        )
    for label, count in sorted(train.items()):
        if count >= FEWEST_ROWS:
            continue
        row = next(row for row in evidence.parts.train if row.answer == label)
        yield _problem(
            evidence,
            "error" if count == 1 else "warning",
            ngettext(
                "The label {label!r} has {n} training row, fewer than {fewest}.",
                "The label {label!r} has {n} training rows, fewer than {fewest}.",
                count,
            ).format(label=label, n=count, fewest=FEWEST_ROWS),
            _("Merge it with another label, remove it, or add rows of it."),
            row,
        )


def _problem(
    evidence: Evidence, severity: str, cause: str, cure: str, row: Row | None = None
) -> Problem:
    return Problem(
        "classes",
        "error" if severity == "error" else "warning",
        cause,
        cure,
        row.source if row else None,
        row.number if row else None,
        evidence.parts.layout.target,
    )
