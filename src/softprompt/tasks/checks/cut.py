"""Texts that some earlier program cut at a round length."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from softprompt.locale import _
from softprompt.tasks.evidence import CHECKS, Evidence, Problem
from softprompt.tasks.rows import Row

__all__ = ["cut"]

_FEWEST = 3


@CHECKS.register("cut")
def cut(evidence: Evidence) -> Iterator[Problem]:
    """Rows that end within a word at a round number of characters, the greatest in their column.

    At least three rows must share that length; a text that is that long by chance ends in a full
    stop, or others are longer.
    """
    layout = evidence.parts.layout
    for name in () if layout.messages else layout.inputs:
        by_length: defaultdict[int, list[Row]] = defaultdict(list)
        for _part, row in evidence.rows():
            by_length[len(row.columns[name])].append(row)
        length = max(by_length, default=0)
        rows = [row for row in by_length[length] if row.columns[name][-1:].isalnum()]
        if not _is_round(length) or len(rows) < _FEWEST:
            continue
        for row in rows:
            yield Problem(
                "cut",
                "warning",
                _(
                    "The text ends within a word after {length} characters, as {n} rows do and none"
                    " goes beyond."
                ).format(length=length, n=len(rows)),
                _("Take the whole text from where the file was made."),
                row.source,
                row.number,
                name,
            )


def _is_round(length: int) -> bool:
    """Multiples of 50, and powers of two or one less, from 50 on; and the length of a tweet."""
    powers = (length & (length - 1)) == 0 or (length & (length + 1)) == 0
    return length >= 50 and (length % 50 == 0 or powers or length in {140, 280})
