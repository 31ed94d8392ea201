"""When a run had which validation score, by the clock and by the processor.

The clock is what a claim counts; the processor's time, all threads together, stands beside it,
since other programs on the machine hardly change it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

__all__ = ["Point", "Timeline", "best_of", "first_with"]

Point = Mapping[str, float]
"""A validation: `seconds` and `processor_seconds` since the run began, and its `score`."""


class Timeline:
    """The validations of a run; its clock starts when it is made."""

    def __init__(self) -> None:
        self._clock, self._processor = time.perf_counter(), time.process_time()
        self.points: list[Point] = []

    @property
    def seconds(self) -> float:
        """Since the run began, pauses left out."""
        return round(time.perf_counter() - self._clock, 3)

    def note(self, score: float) -> None:
        """A validation has just ended."""
        processor = round(time.process_time() - self._processor, 3)
        self.points.append(
            {"seconds": self.seconds, "processor_seconds": processor, "score": score}
        )

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is done within does not count."""
        clock, processor = time.perf_counter(), time.process_time()
        yield
        self._clock += time.perf_counter() - clock
        self._processor += time.process_time() - processor


def first_with(points: Sequence[Point], score: float) -> Point | None:
    """The first validation with at least a score, or None where there is none."""
    return next((point for point in points if point["score"] >= score), None)


def best_of(points: Sequence[Point]) -> Point | None:
    """The first of the validations with the highest score, or None where there is none."""
    return max(points, key=lambda point: point["score"], default=None)
