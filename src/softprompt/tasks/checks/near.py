"""Rows that are nearly the same, within a part and across parts.

MinHash signatures of 5-character shingles, banded into candidates (Broder, "On the resemblance and
containment of documents", 1997), each verified by its exact Jaccard similarity.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from softprompt.tasks.evidence import CHECKS, Evidence, Problem
from softprompt.tasks.rows import Row

__all__ = ["near"]

Hashes = NDArray[np.uint64]

_SHINGLE = 5  # characters
_SHORTEST = 20  # characters; below, one word more is another text
_SIMILAR = 0.8  # Jaccard similarity of the shingle sets
_BANDS, _HASHES_PER_BAND = 16, 4  # finds 99.9% of pairs at 0.8
_MOST_COMPARED = 20  # earlier texts of one bucket


@CHECKS.register("near")
def near(evidence: Evidence) -> Iterator[Problem]:
    """Rows whose input differs from an earlier row's in case, signs or a few letters only."""
    unique: dict[str, tuple[str, Row]] = {}
    for part, row in evidence.full_rows():
        unique.setdefault(evidence.text(row), (part, row))
    places = list(unique.values())
    for index, earlier, similarity in _similar([_letters(text) for text in unique]):
        (part, row), (other_part, other) = places[index], places[earlier]
        across = (
            "" if part == other_part else f", which is a {other_part} row and this a {part} row"
        )
        yield Problem(
            "near",
            "warning",
            f"The input is nearly that of {other.place} ({similarity:.0%} alike){across}.",
            "Keep one of them, or both in the same part."
            if across
            else "Keep one of them if they say the same.",
            row.source,
            row.number,
            evidence.input_column,
        )


def _letters(text: str) -> str:
    """The text without case, signs and the number of its spaces."""
    kept = "".join(letter if letter.isalnum() else " " for letter in text.casefold())
    return " ".join(kept.split())


def _similar(texts: list[str]) -> Iterator[tuple[int, int, float]]:
    """(index, index of an earlier similar text, similarity), at most one for each text."""
    random = np.random.default_rng(0)
    count = _BANDS * _HASHES_PER_BAND
    factors = random.integers(0, 2**63, count, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    offsets = random.integers(0, 2**63, count, dtype=np.uint64)
    same: dict[str, int] = {}
    buckets: defaultdict[tuple[int, bytes], list[int]] = defaultdict(list)
    sets: dict[int, Hashes] = {}
    for index, text in enumerate(texts):
        if text and text in same:
            yield index, same[text], 1.0
            continue
        same[text] = index
        if len(text) < _SHORTEST:
            continue
        sets[index] = _shingles(text)
        mixed = (sets[index][:, None] * factors + offsets) >> np.uint64(32)
        signature = mixed.min(axis=0).astype(np.uint32)
        keys = [(band, part.tobytes()) for band, part in enumerate(np.split(signature, _BANDS))]
        earlier = {other for key in keys for other in buckets[key][:_MOST_COMPARED]}
        best = max(
            ((_jaccard(sets[index], sets[other]), -other) for other in earlier), default=None
        )
        if best is not None and best[0] >= _SIMILAR:
            yield index, -best[1], best[0]
        for key in keys:
            buckets[key].append(index)


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
