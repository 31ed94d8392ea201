"""Batches are a function of seed and epoch; every row comes once."""

from __future__ import annotations

from itertools import pairwise

import pytest

from softprompt.training.schedule import (
    epoch_batches,
    learning_rate_factor,
    steps_per_epoch,
    validation_interval,
)

BUCKETS = [list(range(10)), list(range(10, 13)), list(range(13, 30))]


def rows(epoch: int, seed: int = 0) -> list[int]:
    return [
        BUCKETS[batch.bucket][member]
        for batch in epoch_batches(BUCKETS, 4, seed, epoch)
        for member in batch.members
    ]


def test_every_row_comes_once_an_epoch() -> None:
    assert sorted(rows(0)) == list(range(30))
    assert len(epoch_batches(BUCKETS, 4, 0, 0)) == steps_per_epoch(BUCKETS, 4) == 9


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    assert rows(1) == rows(1)
    assert rows(1) != rows(2)
    assert rows(1) != rows(1, seed=1)


def test_batches_have_each_class_as_often_as_their_bucket() -> None:
    bucket = list(range(48))
    classes = [0 if row % 4 else 1 for row in bucket]
    for epoch in range(5):
        batches = epoch_batches([bucket], 16, 0, epoch, classes)
        assert sorted(member for batch in batches for member in batch.members) == bucket
        for batch in batches:
            assert 3 <= sum(classes[member] for member in batch.members) <= 5
    first, second = (epoch_batches([bucket], 16, 0, epoch, classes) for epoch in (0, 1))
    assert {frozenset(b.members) for b in first} != {frozenset(b.members) for b in second}


def test_the_rate_rises_and_falls() -> None:
    rates = [learning_rate_factor(step, 100, 0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == pytest.approx(1.0)
    assert all(a >= b for a, b in pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(0.05, abs=0.01)


def test_validations_are_as_many_as_asked_for_or_24_at_most() -> None:
    assert validation_interval(126, 1512, None) == 126
    assert validation_interval(126, 1512, 3) == 42
    assert validation_interval(14, 560, None) == 24
    assert validation_interval(14, 560, 1) == 14
    assert validation_interval(2, 2, 5) == 1
