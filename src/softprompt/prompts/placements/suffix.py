"""After the input, directly before the answer: everything before it is a constant context."""

from __future__ import annotations

from collections.abc import Sequence

from softprompt.prompts.placements import BOS, PLACEMENTS, Arranged
from softprompt.tasks import Slot

__all__ = ["suffix"]


@PLACEMENTS.register("suffix")
def suffix(parts: Sequence[str | Slot], length: int) -> list[Arranged]:
    """[BOS, text, prompt]: a decoder's keys and values of the text never change."""
    return [BOS, *parts, Slot(length)]
