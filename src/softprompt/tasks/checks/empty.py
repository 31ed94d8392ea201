"""Rows with nothing in them, or with a word that stands for nothing."""

from __future__ import annotations

from collections.abc import Iterator

from softprompt.locale import _, mark
from softprompt.tasks.evidence import CHECKS, Evidence, Problem, Severity
from softprompt.tasks.rows import is_empty
from softprompt.tasks.text import is_blank

__all__ = ["empty"]

_PLACEHOLDERS = frozenset({"nan", "null", "none", "n/a", "#n/a", "#ref!", "[deleted]", "undefined"})
_FILL = mark("Fill or remove the row, or leave out all such rows with --drop-empty.")


@CHECKS.register("empty")
def empty(evidence: Evidence) -> Iterator[Problem]:
    """Errors for an empty input or answer, warnings for one empty column of several and "nan"."""
    layout = evidence.parts.layout
    severity: Severity = "warning" if evidence.config.drop_empty else "error"
    for _part, row in evidence.rows():
        place = (row.source, row.number)
        if is_empty(row, layout.inputs):
            cause = _("The input is empty.")
            yield Problem("empty", severity, cause, _(_FILL), *place, evidence.input_column)
            continue
        if row.answer is None:
            cause = _("The answer is empty.")
            yield Problem("empty", severity, cause, _(_FILL), *place, layout.target)
        for name in () if row.messages else layout.inputs:
            value = row.columns[name]
            if is_blank(value):
                cause = _("This input column is empty, the others are not.")
            elif value.casefold() in _PLACEHOLDERS:
                cause = _("The text {text!r} looks like a missing value.").format(text=value)
            else:
                continue
            yield Problem("empty", "warning", cause, _("Fill or remove the row."), *place, name)
