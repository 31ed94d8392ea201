"""Which replica a prompt has: the same everywhere, evenly, and moved as little as can be."""

from __future__ import annotations

from collections import Counter

import pytest

pytest.importorskip("ray.serve", reason="needs ray[serve], which is not installed")

from softprompt.cluster.router import in_order

KEYS = [f"prompt-{number}" for number in range(4000)]
NAMES = ["a1", "b2", "c3", "d4", "e5"]


def test_prompts_are_spread_evenly() -> None:
    counts = Counter(in_order(key, NAMES)[0] for key in KEYS)
    assert set(counts) == set(NAMES)
    # Five standard deviations of a fair choice.
    assert all(abs(count - 800) < 5 * (4000 * 0.2 * 0.8) ** 0.5 for count in counts.values())


def test_the_order_does_not_depend_on_how_names_come() -> None:
    assert all(in_order(key, NAMES) == in_order(key, NAMES[::-1]) for key in KEYS[:100])


def test_only_the_prompts_of_a_lost_replica_move_and_they_spread() -> None:
    left = NAMES[:-1]
    moved = Counter()
    for key in KEYS:
        before, after = in_order(key, NAMES)[0], in_order(key, left)[0]
        if before == NAMES[-1]:
            moved[after] += 1
        else:
            assert before == after
    assert set(moved) == set(left)
