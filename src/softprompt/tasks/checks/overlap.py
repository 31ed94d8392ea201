"""The same input in two parts, which makes a score say less than it seems to."""

from __future__ import annotations

from collections.abc import Iterator

from softprompt.locale import _
from softprompt.tasks.evidence import CHECKS, Evidence, Problem
from softprompt.tasks.rows import Row

__all__ = ["overlap"]


@CHECKS.register("overlap")
def overlap(evidence: Evidence) -> Iterator[Problem]:
    """Rows of validation and test whose input stands in an earlier part; only files can do that."""
    seen: dict[str, tuple[str, Row]] = {}
    for part, row in evidence.full_rows():
        earlier, other = seen.setdefault(evidence.text(row), (part, row))
        if earlier != part:
            yield Problem(
                "overlap",
                "warning",
                _("This {part} row has the same input as {place} ({earlier}).").format(
                    part=_(part), place=other.place, earlier=_(earlier)
                ),
                _("Remove one of them: a {part} score counts only on inputs that are new.").format(
                    part=_(part)
                ),
                row.source,
                row.number,
                evidence.input_column,
            )
