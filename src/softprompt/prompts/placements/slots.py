"""Wherever the template says `{prompt:8}`."""

from __future__ import annotations

from collections.abc import Sequence

from softprompt.errors import UsageError
from softprompt.locale import _
from softprompt.prompts.placements import BOS, PLACEMENTS, Arranged
from softprompt.tasks import Slot

__all__ = ["slots"]


@PLACEMENTS.register("slots")
def slots(parts: Sequence[str | Slot], length: int) -> list[Arranged]:
    """[BOS, parts as the template has them].

    Raises:
        UsageError: the template has no slot.
    """
    if not any(isinstance(part, Slot) for part in parts):
        raise UsageError(
            _(
                "The placement `slots` needs a template with at least one {prompt:N}; this has "
                "none."
            ),
            _("For example: --template '{prompt:8}{text}\\nSentiment:{prompt:8} {answer}'."),
        )
    return [BOS, *parts]
