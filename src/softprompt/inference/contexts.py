"""The contexts of many rows: sorted by length, encoded once in large batches, kept in a budget.

Rows of similar length share a bucket, which is encoded as one batch. What fits into the budget is
kept; the rest is encoded again whenever it is asked for, with the same result. It does not know
what continues the contexts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from softprompt.backbones import Backbone, Context
from softprompt.prompts import Example

__all__ = ["Contexts", "free_memory_budget"]

BUCKET_TOKENS = 8192
BUCKET_ROWS = 128


class Contexts:
    """Contexts of examples, by bucket.

    Args:
        backbone: that encodes them.
        examples: whose `context` counts.
        budget: bytes of keys and values to keep; 0 keeps none.
        bucket_rows: rows of a bucket at most.

    Attributes:
        buckets: indices of the rows of each bucket, shortest contexts (then trunks) first.
    """

    def __init__(
        self,
        backbone: Backbone,
        examples: Sequence[Example],
        budget: int = 0,
        bucket_rows: int = BUCKET_ROWS,
    ) -> None:
        self._backbone = backbone
        self._rows = [example.context for example in examples]
        self._budget = budget
        self._kept: dict[int, Context] = {}
        self.bytes = 0
        # Contexts of one length may be followed by trunks of many: both pad a batch.
        sizes = [(len(e.context), len(e.trunk)) for e in examples]
        self.buckets = _buckets(sizes, bucket_rows)

    def fill(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Encodes what the budget holds; returns the number of rows kept.

        Args:
            progress: called with rows done and rows in all.
        """
        done = 0
        for bucket in range(len(self.buckets)):
            if self.bytes < self._budget:
                self.bucket(bucket)
            done += len(self.buckets[bucket])
            if progress:
                progress(done, len(self._rows))
        return sum(len(self.buckets[bucket]) for bucket in self._kept)

    def bucket(self, bucket: int) -> Context:
        """The contexts of a whole bucket."""
        if bucket in self._kept:
            return self._kept[bucket]
        context = self._encode(self.buckets[bucket])
        if self.bytes + context.bytes <= self._budget:
            self._kept[bucket] = context
            self.bytes += context.bytes
        return context

    def select(self, bucket: int, members: Sequence[int]) -> Context:
        """The contexts of some rows of a bucket.

        Args:
            bucket: which.
            members: places within the bucket, 0 to its size - 1.
        """
        if bucket in self._kept:
            return self._kept[bucket].select(members)
        return self._encode([self.buckets[bucket][member] for member in members])

    def _encode(self, rows: Sequence[int]) -> Context:
        return self._backbone.encode_context([self._rows[row] for row in rows])


def _buckets(sizes: Sequence[tuple[int, int]], rows: int) -> list[list[int]]:
    """Row indices in order of length, cut so that a bucket has few rows and few padded tokens."""
    order = sorted(range(len(sizes)), key=lambda index: (sizes[index], index))
    buckets: list[list[int]] = []
    for index in order:
        last = buckets[-1] if buckets else []
        if last and len(last) < rows and (len(last) + 1) * sum(sizes[index]) <= BUCKET_TOKENS:
            last.append(index)
        else:
            buckets.append([index])
    return buckets


def free_memory_budget(share: float, device: torch.device) -> int:
    """Bytes of memory that a cache may take: a share of what is free now.

    Where the system does not say how much is free, 1 GiB.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] * share)
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(int(line.split()[1]) * 1024 * share)
    except OSError:
        pass
    return 1 << 30
