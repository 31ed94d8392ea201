"""The contexts of many rows: sorted by length, encoded once in large batches, kept in a budget.

Rows of similar length share a bucket, which is encoded as one batch. What fits into the budget is
kept in memory, the rest on disk where there is a store, else it is encoded again whenever it is
asked for, with the same result. It does not know what continues the contexts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from softprompt.backbones import Backbone, Context, Precision, pack, unpack
from softprompt.errors import UsageError
from softprompt.inference.context_store import ContextStore
from softprompt.prompts import Example

__all__ = ["Contexts", "Estimate"]

BUCKET_TOKENS = 8192
BUCKET_ROWS = 128
WORTH_SECONDS = 10.0
"""Contexts that take longer than this are stored, so that the next run need not wait."""


@dataclass(frozen=True)
class Estimate:
    """What encoding all contexts is going to take, those on disk already left out.

    Args:
        bytes: of keys and values of all rows.
        seconds: of encoding.
    """

    bytes: int
    seconds: float


class Contexts:
    """Contexts of examples, by bucket.

    Args:
        backbone: that encodes them.
        examples: whose `context` counts.
        budget: bytes of keys and values to keep in memory; with 0 all go to the store.
        bucket_rows: rows of a bucket at most.
        store: contexts on disk, or None.
        precision: that contexts are packed in, those that are not kept as well, so that what is
            computed does not depend on the budget.

    Attributes:
        buckets: indices of the rows of each bucket, shortest contexts (then trunks) first.
        trouble: why contexts could not be stored, or None.
    """

    def __init__(
        self,
        backbone: Backbone,
        examples: Sequence[Example],
        budget: int = 0,
        bucket_rows: int = BUCKET_ROWS,
        store: ContextStore | None = None,
        precision: Precision = "full",
    ) -> None:
        self._backbone, self._store, self.precision = backbone, store, precision
        self._rows = [example.context for example in examples]
        self.budget = budget
        self._kept: dict[int, Context] = {}
        self._ready: dict[int, Context] = {}
        self.bytes = 0
        self.trouble: str | None = None
        # Contexts of one length may be followed by trunks of many: both pad a batch.
        sizes = [(len(e.context), len(e.encoder) + len(e.trunk)) for e in examples]
        self.buckets = _buckets(sizes, bucket_rows)

    def estimate(self) -> Estimate:
        """Reckons from the largest bucket that is not on disk, which it encodes for `fill` to use.

        Where all are on disk nothing is encoded.
        """
        if not self.buckets or not any(self._rows):
            return Estimate(0, 0.0)
        buckets = range(len(self.buckets))
        missing = [b for b in buckets if not self._store or not self._store.holds(self._ids(b))]
        largest = max(missing or buckets, key=self._tokens)
        start = time.perf_counter()
        context = self._store.get(self._ids(largest)) if self._store and not missing else None
        if context is None:
            context = self._encode(self.buckets[largest])
            if self.budget > 0 or self._store is not None:
                self._ready[largest] = context
        seconds = time.perf_counter() - start
        tokens = max(1, self._tokens(largest))
        whole, left = (sum(map(self._tokens, some)) for some in (buckets, missing))
        return Estimate(context.bytes * whole // tokens, seconds * left / tokens)

    def fill(
        self,
        progress: Callable[[int, int], None] | None = None,
        *,
        store_all: bool = False,
    ) -> int:
        """Encodes or maps what budget and disk hold; returns the number of rows kept.

        Args:
            progress: called with rows done and rows in all.
            store_all: also store what the budget holds.
        """
        done = 0
        for bucket, rows in enumerate(self.buckets):
            if (self.budget > 0 or self._store is not None) and bucket not in self._kept:
                self._keep(bucket, store_all)
            done += len(rows)
            if progress:
                progress(done, len(self._rows))
        return sum(len(self.buckets[bucket]) for bucket in self._kept)

    def _keep(self, bucket: int, store_all: bool) -> None:
        ready, ids = self._ready.pop(bucket, None), self._ids(bucket)
        context = self._store.get(ids) if self._store else None
        if context is None:
            full = self.bytes >= self.budget
            if full and self._store is None:
                return
            context = ready or self._encode(self.buckets[bucket])
            fits = self.bytes + context.bytes <= self.budget
            if self._store is not None and context.width and (store_all or not fits):
                context = self._stored(ids, context)
        if context.mapped:
            self._kept[bucket] = context
        elif self.bytes + context.bytes <= self.budget:
            self._kept[bucket] = context
            self.bytes += context.bytes

    def _stored(self, ids: Sequence[Sequence[int]], context: Context) -> Context:
        """The contexts as the disk gives them back; as they are where it takes no more."""
        assert self._store is not None
        try:
            self._store.put(ids, context)
        except UsageError as error:
            self.trouble, self._store = error.message, None
            return context
        return self._store.get(ids) or context

    def bucket(self, bucket: int) -> Context:
        """The contexts of a whole bucket."""
        return self._unpacked(self._kept.get(bucket) or self._found(self.buckets[bucket]))

    def select(self, bucket: int, members: Sequence[int]) -> Context:
        """The contexts of some rows of a bucket.

        Args:
            bucket: which.
            members: places within the bucket, 0 to its size - 1.
        """
        if bucket in self._kept:
            return self._unpacked(self._kept[bucket].select(members))
        return self._unpacked(self._found([self.buckets[bucket][member] for member in members]))

    def _found(self, rows: Sequence[int]) -> Context:
        """Contexts that are not kept: from disk where all are there, else encoded again."""
        stored = self._store.get([self._rows[row] for row in rows]) if self._store else None
        return stored or self._encode(rows)

    def _ids(self, bucket: int) -> list[tuple[int, ...]]:
        return [self._rows[row] for row in self.buckets[bucket]]

    def _tokens(self, bucket: int) -> int:
        rows = self.buckets[bucket]
        return len(rows) * max(len(self._rows[row]) for row in rows)

    def _encode(self, rows: Sequence[int]) -> Context:
        context = self._backbone.encode_context([self._rows[row] for row in rows])
        return pack(context, self.precision)

    def _unpacked(self, context: Context) -> Context:
        if self.precision == "full":
            return context
        return unpack(context, self._backbone.compute_dtype)


def _buckets(sizes: Sequence[tuple[int, int]], rows: int) -> list[list[int]]:
    """Row indices in order of length, cut so that a bucket has few rows and few padded tokens.

    A bucket of more than 16 rows that is full ends at a multiple of 16: what would be left of it
    after whole batches would make a small batch in every epoch.
    """
    order = sorted(range(len(sizes)), key=lambda index: (sizes[index], index))
    buckets: list[list[int]] = []
    for index in order:
        last = buckets[-1] if buckets else []
        if last and len(last) < rows and (len(last) + 1) * sum(sizes[index]) <= BUCKET_TOKENS:
            last.append(index)
            continue
        whole = len(last) - len(last) % 16 or len(last)
        buckets.append([*last[whole:], index])
        del last[whole:]
    return buckets
