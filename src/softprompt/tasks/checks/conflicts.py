"""The same text with different labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from softprompt.locale import _
from softprompt.tasks.evidence import CHECKS, Evidence, Problem
from softprompt.tasks.rows import Row

__all__ = ["conflicts"]


@CHECKS.register("conflicts")
def conflicts(evidence: Evidence) -> Iterator[Problem]:
    """Inputs that stand with more than one label, one problem each; in free generation none."""
    if evidence.kind != "classification":
        return
    groups: defaultdict[str, dict[str, Row]] = defaultdict(dict)
    for _part, row in evidence.full_rows():
        groups[evidence.text(row)].setdefault(str(row.answer), row)
    for rows in groups.values():
        first, *others = rows.values()
        if others:
            named = ", ".join(
                _("{label!r} in {place}").format(label=row.answer, place=row.place)
                for row in others[:5]
            )
            yield Problem(
                "conflicts",
                "warning",
                _("The input has the label {label!r} here, and {others}.").format(
                    label=first.answer, others=named
                ),
                _("Decide on one label, or remove the rows: no answer can be right for all."),
                first.source,
                first.number,
                evidence.parts.layout.target,
            )
