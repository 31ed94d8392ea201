"""Whose files and jobs somebody sees. It does not know keys."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Viewer"]


@dataclass(frozen=True)
class Viewer:
    """Somebody who asks.

    Args:
        owner: ID of the key, which what is made now belongs to; None on a server without keys.
        sees_all: whether the files and jobs of others are seen as well.
    """

    owner: str | None = None
    sees_all: bool = True

    def may_see(self, owner: str | None) -> bool:
        """Whether what belongs to an owner is seen."""
        return self.sees_all or owner == self.owner
