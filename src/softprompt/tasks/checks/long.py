"""Rows that do not fit into the model's window."""

from __future__ import annotations

from collections.abc import Iterator

from softprompt.locale import _
from softprompt.tasks.evidence import CHECKS, Evidence, Problem

__all__ = ["long"]


@CHECKS.register("long")
def long(evidence: Evidence) -> Iterator[Problem]:
    """Rows whose answer would be cut off, where a tokenizer and a window are known."""
    if evidence.encode is None or evidence.window is None:
        return
    for _part, row in evidence.full_rows():
        context, answer = evidence.tokens(row)
        if context + answer > evidence.window:
            yield Problem(
                "long",
                "error",
                _(
                    "The row takes {n} tokens ({answer} of them the answer), the window holds"
                    " {window}: its answer would be cut off."
                ).format(n=context + answer, answer=answer, window=evidence.window),
                _(
                    "Shorten the text, choose a model with a longer window, or leave such rows out"
                    " with --drop-long."
                ),
                row.source,
                row.number,
                evidence.input_column,
            )
