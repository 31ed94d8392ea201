"""Before everything, the opening token included: where PEFT puts its virtual tokens."""

from __future__ import annotations

from collections.abc import Sequence

from softprompt.prompts.placements import BOS, PLACEMENTS, Arranged
from softprompt.tasks import Slot

__all__ = ["front"]


@PLACEMENTS.register("front")
def front(parts: Sequence[str | Slot], length: int) -> list[Arranged]:
    """[prompt, BOS, text], as in Lester et al. 2021 (arXiv 2104.08691) and PEFT."""
    return [Slot(length), BOS, *parts]
