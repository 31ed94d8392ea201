"""Rows that stand more than once within a part."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from softprompt.tasks.evidence import CHECKS, Evidence, Problem, listed
from softprompt.tasks.rows import Row

__all__ = ["duplicates"]


@CHECKS.register("duplicates")
def duplicates(evidence: Evidence) -> Iterator[Problem]:
    """Groups of rows with the same input and the same answer, one problem each."""
    groups: defaultdict[tuple[str, str, str | None], list[Row]] = defaultdict(list)
    for part, row in evidence.full_rows():
        groups[part, evidence.text(row), row.answer].append(row)
    for (part, _, _), (first, *others) in groups.items():
        if others:
            yield Problem(
                "duplicates",
                "warning",
                f"The same input and answer stand again in {listed(others)} ({part}).",
                "Keep one of them: a repeated row counts more than the others.",
                first.source,
                first.number,
                evidence.input_column,
            )
