"""Whether free answers use the terms that a task fixes.

A row needs the terms of the list that stand in its reference. It does not know what a term means,
nor inflected forms of it; in writing without spaces (Thai, Chinese) a term is found only where
something other than a letter or digit stands on both sides.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from softprompt.evaluation.intervals import bootstrap, widened
from softprompt.evaluation.metrics import METRICS, Answered, Metric

__all__ = ["finder", "term_adherence"]


def term_adherence(answered: Answered) -> dict[str, Any]:
    """`term_adherence`, its `_interval`, `term_precision`, `term_rows`; nothing without a list.

    Of the terms that a reference has, the share that the answer has too: the mean over the
    `term_rows` rows that need any (1 where none does), with a bootstrap interval. The precision is
    the share of terms in all answers that stand in the reference as well, which falls where every
    answer is filled with terms; there is none where no answer uses any. A term in lower case is
    found in any case, one with a capital only as it is written.
    """
    terms: Sequence[str] = answered.demands.get("terms", ())
    if not terms:
        return {}
    find = finder(terms)
    shares: list[float] = []
    used = right = 0
    for reference, answer in zip(answered.references, answered.predictions, strict=True):
        needed, given = find(reference), find(answer)
        used, right = used + len(given), right + len(given & needed)
        if needed:
            shares.append(len(given & needed) / len(needed))
    counted = shares or [1.0]
    interval = bootstrap(counted, seed=answered.seed)
    found: dict[str, Any] = {
        "term_adherence": sum(counted) / len(counted),
        "term_adherence_interval": widened(interval, len(shares)) if shares else list(interval),
        "term_rows": len(shares),
    }
    return {**found, "term_precision": right / used} if used else found


def finder(terms: Sequence[str]) -> Callable[[str], set[int]]:
    """From a text to the places in the list of the terms that stand in it."""
    finders = _finders(terms)
    return lambda text: _found(finders, text)


def _finders(terms: Sequence[str]) -> list[tuple[int, re.Pattern[str]]]:
    """Places of the terms with their patterns, the longest term first."""
    plain = [_plain(term) for term in terms]
    flags = [re.IGNORECASE if term == term.lower() else 0 for term in plain]
    return [
        (place, re.compile(rf"(?<!\w){re.escape(plain[place])}(?!\w)", flags[place]))
        for place in sorted(range(len(plain)), key=lambda place: -len(plain[place]))
    ]


def _found(finders: Sequence[tuple[int, re.Pattern[str]]], text: str) -> set[int]:
    """Places of the terms that stand in a text, but not those within a longer one alone."""
    rest, found = _plain(text), set()
    for place, pattern in finders:
        rest, times = pattern.subn("\n", rest)
        if times:
            found.add(place)
    return found


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


METRICS.register("terms")(Metric("generation", term_adherence, ("term_adherence",)))
