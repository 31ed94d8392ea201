"""Whether a task's own right answers do what the task demands of answers.

It does not know where they come from.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from softprompt.evaluation.metrics.format import keeper
from softprompt.evaluation.metrics.terms import finder

__all__ = ["unmet"]


def unmet(answers: Sequence[str], demands: Mapping[str, Any]) -> tuple[list[int], list[str]]:
    """Places of right answers that do not keep to the format, and terms that stand in none.

    Args:
        answers: as they stand in the rows.
        demands: of the task (`Task.demands`). A schema is not looked at where jsonschema is not
            installed.
    """
    places: list[int] = []
    if "format" in demands:
        plain = [unicodedata.normalize("NFC", text).strip() for text in answers]
        with suppress(ImportError):
            keeps = keeper(demands["format"])
            places = [place for place, text in enumerate(plain) if not keeps(text)]
    terms = tuple(demands.get("terms", ()))
    find = finder(terms)
    used = {place for text in answers for place in find(text)} if terms else set()
    return places, [term for place, term in enumerate(terms) if place not in used]
