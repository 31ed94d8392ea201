"""Where a soft prompt stands in the input: one file a placement.

A placement arranges the parts of a rendered row. It sees text, the opening token and slots, and
knows nothing of tokens, vectors or models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from softprompt.locale import mark
from softprompt.registry import Registry, discover
from softprompt.tasks import Slot

__all__ = ["BOS", "PLACEMENTS", "Arranged", "Bos", "Placement", "pieces"]


class Bos:
    """The token that opens a sequence, where the tokenizer has one."""


BOS: Final = Bos()
Arranged = str | Slot | Bos
Placement = Callable[[Sequence[str | Slot], int], list[Arranged]]
"""From the parts before the answer and the prompt's length to the whole arrangement."""

PLACEMENTS: Registry[Placement] = Registry(mark("placement"))
discover(__name__, list(__path__))


def pieces(name: str) -> int:
    """In how many pieces a prompt of several vectors stands; 0 for `slots`, where templates say."""
    if name == "slots":
        return 0
    parts = PLACEMENTS.get(name)(("text",), 2)
    return sum(isinstance(part, Slot) for part in parts)
