"""Labels that are likely one label in two spellings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations

from softprompt.locale import _, mark, ngettext
from softprompt.tasks.evidence import CHECKS, Evidence, Problem

__all__ = ["spelling"]

_SHORTEST = 4  # letters; below, one edit makes another word
_FORM = mark(
    "The label {rare!r} ({rare_rows}) differs from {common!r} ({common_rows}) in case, spaces or"
    " signs only."
)
_LETTER = mark(
    "The label {rare!r} ({rare_rows}) differs from {common!r} ({common_rows}) in one letter."
)
_RARE = 0.2  # of the other label's rows at most; two common words are two labels


@CHECKS.register("spelling")
def spelling(evidence: Evidence) -> Iterator[Problem]:
    """Pairs of labels that differ in case, spaces or signs, or in one letter where one is rare."""
    if evidence.kind != "classification":
        return
    counts = Counter(str(row.answer) for _part, row in evidence.full_rows())
    for pair in combinations(sorted(counts), 2):
        rare, common = sorted(pair, key=lambda label: (counts[label], label))
        if _plain(rare) == _plain(common):
            cause = _(_FORM)
        elif _is_typing_mistake(rare, common) and counts[rare] <= _RARE * counts[common]:
            cause = _(_LETTER)
        else:
            continue
        row = next(row for _part, row in evidence.full_rows() if row.answer == rare)
        yield Problem(
            "spelling",
            "warning",
            cause.format(
                rare=rare,
                rare_rows=_rows(counts[rare]),
                common=common,
                common_rows=_rows(counts[common]),
            ),
            _("Write {label!r} everywhere if they mean the same.").format(label=common),
            row.source,
            row.number,
            evidence.parts.layout.target,
        )


def _rows(n: int) -> str:
    return ngettext("{n} row", "{n} rows", n).format(n=n)


def _plain(label: str) -> str:
    """The label's letters and digits; the label itself where it has none ("+", "-")."""
    return "".join(filter(str.isalnum, label.casefold())) or label


def _is_typing_mistake(one: str, other: str) -> bool:
    """Whether one letter is added, left out, changed or swapped with the next; digits excepted."""
    one, other = sorted((one.casefold(), other.casefold()), key=len)
    if len(one) < _SHORTEST or len(other) - len(one) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
    left, right = one[start:], other[start:]
    if (left[:1] + right[:1]).isdigit() or right[:1].isdigit():
        return False
    if len(one) < len(other):
        return left == right[1:]
    swapped = left[:2] == right[:2][::-1] and left[2:] == right[2:]
    return left[1:] == right[1:] or swapped
