"""After the opening token, before the input."""

from __future__ import annotations

from collections.abc import Sequence

from softprompt.prompts.placements import BOS, PLACEMENTS, Arranged
from softprompt.tasks import Slot

__all__ = ["prefix"]


@PLACEMENTS.register("prefix")
def prefix(parts: Sequence[str | Slot], length: int) -> list[Arranged]:
    """[BOS, prompt, text]: the opening token keeps the place that pretraining gave it."""
    return [BOS, Slot(length), *parts]
