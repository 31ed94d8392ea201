"""How many requests may wait: one rule and one sentence for every engine.

It does not know who waits for what.
"""

from __future__ import annotations

from softprompt.errors import OverloadedError, UsageError

__all__ = ["check_room"]


def check_room(waiting: int, coming: int, most: int) -> None:
    """Refuses requests that there is no room for.

    Args:
        waiting: requests there.
        coming: requests that come together.
        most: requests that may be there.

    Raises:
        UsageError: they would find no room even where nobody waits.
        OverloadedError: they find none now.
    """
    if coming > most:
        raise UsageError(
            f"{coming} requests come together, and {most} may wait.", "Ask for fewer at once."
        )
    if waiting + coming > most:
        raise OverloadedError(
            f"{waiting} requests are waiting, and {most} may.", "Try again in a moment."
        )
