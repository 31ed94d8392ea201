"""Ways to do a task, one file each: from a job to what was measured.

A method knows its own training and nothing of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from softprompt.comparison.job import Job, Measured
from softprompt.registry import Registry, discover

__all__ = ["METHODS", "Method"]


@dataclass(frozen=True)
class Method:
    """A way to do a task.

    Args:
        run: measures it.
        cost: place in the order of what a task costs to make and keep, the cheapest first.
        needs: the optional package that it imports, or None.
    """

    run: Callable[[Job], Measured]
    cost: int
    needs: str | None = None


METHODS: Registry[Method] = Registry("method")
discover(__name__, list(__path__))
