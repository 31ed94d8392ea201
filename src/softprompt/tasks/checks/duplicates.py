"""Rows that stand more than once within a part."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from softprompt.locale import _
from softprompt.tasks.evidence import CHECKS, Evidence, Problem, listed
from softprompt.tasks.rows import Row

__all__ = ["duplicates"]


@CHECKS.register("duplicates")
def duplicates(evidence: Evidence) -> Iterator[Problem]:
    """Groups of rows with the same input and the same answer, one problem each."""
    groups: defaultdict[tuple[str, str, str | None], list[Row]] = defaultdict(list)
    for part, row in evidence.full_rows():
        groups[part, evidence.text(row), row.answer].append(row)
    for (part, _text, _answer), (first, *others) in groups.items():
        if others:
            yield Problem(
                "duplicates",
                "warning",
                _("The same input and answer stand again in {rows} ({part}).").format(
                    rows=listed(others), part=_(part)
                ),
                _("Keep one of them: a repeated row counts more than the others."),
                first.source,
                first.number,
                evidence.input_column,
            )
