"""After the opening token and directly before the answer, half of the vectors each."""

from __future__ import annotations

from collections.abc import Sequence

from softprompt.prompts.placements import BOS, PLACEMENTS, Arranged
from softprompt.tasks import Slot

__all__ = ["both"]


@PLACEMENTS.register("both")
def both(parts: Sequence[str | Slot], length: int) -> list[Arranged]:
    """[BOS, prompt, text, prompt]; the first half has the odd vector.

    A prompt of a single vector stands before the text alone.
    """
    after = length // 2
    return [BOS, Slot(length - after), *parts, *([Slot(after)] if after else [])]
