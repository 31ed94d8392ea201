"""Right answers that are not what the task demands of answers, and terms that no answer has."""

from __future__ import annotations

from collections.abc import Iterator

from softprompt.locale import _
from softprompt.tasks.evidence import CHECKS, Evidence, Problem

__all__ = ["demands"]


@CHECKS.register("demands")
def demands(evidence: Evidence) -> Iterator[Problem]:
    """Answers that do not keep to `task.answer_format`, an error where none does; and terms of
    `task.answer_terms` that stand in no answer."""
    wanted = evidence.config.demands
    if evidence.unmet is None or not wanted or evidence.kind != "generation":
        return
    rows = [row for _part, row in evidence.full_rows()]
    places, terms = evidence.unmet([str(row.answer) for row in rows], wanted)
    for place in places:
        yield Problem(
            "demands",
            "error" if len(places) == len(rows) else "warning",
            _("The answer {answer!r} does not keep to the format.").format(
                answer=str(rows[place].answer)[:60]
            ),
            _("Correct it, or change task.answer_format."),
            rows[place].source,
            rows[place].number,
            evidence.parts.layout.target,
        )
    for term in terms:
        yield Problem(
            "demands",
            "warning",
            _("The term {term!r} stands in no answer.").format(term=term),
            _("Write it as the answers do, or leave it out of task.answer_terms."),
            column=evidence.parts.layout.target,
        )
