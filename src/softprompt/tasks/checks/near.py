"""Rows that are nearly the same, within a part and across parts.

MinHash signatures of 5-character shingles, banded into candidates (Broder, "On the resemblance and
containment of documents", 1997), each verified by its exact Jaccard similarity.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from softprompt.locale import _, percent
from softprompt.tasks.evidence import CHECKS, Evidence, Problem
from softprompt.tasks.rows import SEPARATOR, Row

__all__ = ["near"]

Hashes = NDArray[np.uint64]

_SHINGLE = 5  # characters
_SHORTEST = 20  # characters; below, one word more is another text
_SIMILAR = 0.8  # Jaccard similarity of the shingle sets
_BANDS, _HASHES_PER_BAND = 16, 4  # finds 99.9% of pairs at 0.8
_MOST_COMPARED = 20  # earlier texts of one bucket


@CHECKS.register("near")
def near(evidence: Evidence) -> Iterator[Problem]:
    """Rows whose input differs from an earlier row's in case, signs or a few letters only.

    Of several input columns each must be that similar. Pairs across parts come first.
    """
    unique: dict[str, tuple[str, Row]] = {}
    for part, row in evidence.full_rows():
        unique.setdefault(evidence.text(row), (part, row))
    places = list(unique.values())
    found = list(_similar([tuple(map(_letters, text.split(SEPARATOR))) for text in unique]))
    found.sort(key=lambda pair: places[pair[0]][0] == places[pair[1]][0])
    for index, earlier, similarity in found:
        (part, row), (other_part, other) = places[index], places[earlier]
        cause = _("The input is nearly that of {place} ({share} alike).")
        cure = _("Keep one of them if they say the same.")
        if part != other_part:
            cause = _(
                "The input is nearly that of {place} ({share} alike), which is a {other} row and"
                " this a {part} row."
            )
            cure = _("Remove one of them, or keep both in the same part.")
        cause = cause.format(
            place=other.place, share=percent(similarity, 0), other=_(other_part), part=_(part)
        )
        yield Problem("near", "warning", cause, cure, row.source, row.number, evidence.input_column)


def _letters(text: str) -> str:
    """The text without case, signs and the number of its spaces."""
    kept = "".join(letter if letter.isalnum() else " " for letter in text.casefold())
    return " ".join(kept.split())


def _similar(inputs: list[tuple[str, ...]]) -> Iterator[tuple[int, int, float]]:
    """(index, index of an earlier similar input, similarity), at most one for each input."""
    random = np.random.default_rng(0)
    count = _BANDS * _HASHES_PER_BAND
    factors = random.integers(0, 2**63, count, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    offsets = random.integers(0, 2**63, count, dtype=np.uint64)
    same: dict[tuple[str, ...], int] = {}
    buckets: defaultdict[tuple[int, bytes], list[int]] = defaultdict(list)
    for index, columns in enumerate(inputs):
        if any(columns) and columns in same:
            yield index, same[columns], 1.0
            continue
        same[columns] = index
        text = " ".join(columns)
        if len(text) < _SHORTEST:
            continue
        mixed = (_shingles(text)[:, None] * factors + offsets) >> np.uint64(32)
        signature = mixed.min(axis=0).astype(np.uint32)
        keys = [(band, part.tobytes()) for band, part in enumerate(np.split(signature, _BANDS))]
        earlier = {other for key in keys for other in buckets[key][:_MOST_COMPARED]}
        scores = [(_alike(columns, inputs[other]), -other) for other in earlier]
        best = max(scores, default=(0.0, 0))
        if best[0] >= _SIMILAR:
            yield index, -best[1], best[0]
        for key in keys:
            buckets[key].append(index)


def _alike(one: tuple[str, ...], other: tuple[str, ...]) -> float:
    """The least Jaccard similarity of two inputs' columns; short columns are alike when equal."""
    if len(one) != len(other):
        return 0.0
    scores = [1.0]
    for left, right in zip(one, other, strict=True):
        if left == right:
            continue
        if min(len(left), len(right)) < _SHORTEST:
            return 0.0
        scores.append(_jaccard(_shingles(left), _shingles(right)))
    return min(scores)


def _shingles(text: str) -> Hashes:
    """Sorted, unique 64-bit hashes of the text's runs of five characters."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    powers = np.uint64(0x9E3779B97F4A7C15) ** np.arange(1, _SHINGLE + 1, dtype=np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(codes, _SHINGLE)
    hashes: Hashes = np.unique((windows * powers).sum(axis=1, dtype=np.uint64))
    return hashes


def _jaccard(one: Hashes, other: Hashes) -> float:
    common = np.intersect1d(one, other, assume_unique=True).size
    return float(common / (one.size + other.size - common))
