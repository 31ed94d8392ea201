"""Who calls, what they may, and how often.

Without keys everybody who reaches the server may do everything, which is why it then listens on the
loopback only. It does not know where the key came from.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from softprompt.serving.http.errors import ApiError
from softprompt.serving.keys import Key, Scope

__all__ = ["Caller", "Rates"]


@dataclass(frozen=True)
class Caller:
    """Who sent a request.

    Args:
        key: the key that was shown; None on a server without keys.
    """

    key: Key | None

    @property
    def label(self) -> str:
        """As logs name it."""
        return "anybody" if self.key is None else f"key {self.key.id}"

    @property
    def sees_all(self) -> bool:
        """Whether no prompt is hidden from it."""
        return self.key is None or self.key.prompts is None

    def may_use(self, name: str) -> bool:
        """Whether a prompt or the base model may be asked, by its name without version."""
        return self.key is None or self.key.may_use(name)

    def demand(self, *scopes: Scope) -> None:
        """Raises:
        ApiError: 403, the key has none of the scopes.
        """
        if self.key is not None and not any(map(self.key.may, scopes)):
            needed, has = " or ".join(scopes), ", ".join(self.key.scopes)
            raise ApiError(
                403,
                f"This needs a key with the scope {needed}; the key given has: {has}.",
                code="insufficient_scope",
            )


class Rates:
    """A token bucket for each key: it fills by the minute and holds no more than the burst.

    One request may ask for more than is in the bucket; the next ones then wait for longer, so that
    a large batch is possible and still paid for.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._levels: dict[str, tuple[float, float]] = {}

    def spend(self, caller: Caller, answers: int) -> None:
        """Takes answers out of the caller's bucket.

        Raises:
            ApiError: 429, it is empty; `Retry-After` says for how long.
        """
        key = caller.key
        if key is None or key.per_minute is None:
            return
        now, size = self._clock(), float(key.burst or max(1.0, key.per_minute))
        level, since = self._levels.get(key.id, (size, now))
        level = min(size, level + (now - since) * key.per_minute / 60)
        if level < 1:
            seconds = (1 - level) * 60 / key.per_minute
            self._levels[key.id] = (level, now)
            raise ApiError(
                429,
                f"This key may ask for {key.per_minute:g} answers a minute.",
                code="rate_limit_exceeded",
                headers={"Retry-After": str(max(1, int(seconds + 0.999)))},
            )
        self._levels[key.id] = (level - answers, now)

    def give_back(self, caller: Caller, answers: int) -> None:
        """Puts back what was taken for answers that there was no room for."""
        if caller.key is not None and caller.key.id in self._levels:
            level, since = self._levels[caller.key.id]
            self._levels[caller.key.id] = (level + answers, since)
