"""The prompts of a source as a list, and what an administrator may do to them.

An engine needs a source only to find prompts by name; a registry also lists and changes them. What
a source cannot do is refused in words. It does not know who asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from softprompt.serving.http.errors import ApiError
from softprompt.serving.http.schemas.prompts import PromptCard
from softprompt.serving.source import Source

__all__ = ["Catalog", "Shelf"]


class Shelf(Protocol):
    """What a registry can do beside being a source."""

    def list(self) -> Sequence[Any]:
        """A card for each name."""
        ...

    def publish(self, name: str, artifact: Path, *, aliases: Sequence[str] = ()) -> Any:
        """Adds a version."""
        ...

    def alias(self, name: str, alias: str, version: int) -> Any:
        """Points an alias to a version."""
        ...

    def unalias(self, name: str, alias: str) -> Any:
        """Removes an alias."""
        ...

    def rollback(self, name: str) -> Any:
        """Goes back to the version that was current before."""
        ...

    def remove(self, name: str) -> Any:
        """Removes a name."""
        ...


class Catalog:
    """A source, seen as a list.

    Args:
        source: of prompts.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    def names(self) -> Iterable[str]:
        """Names without versions, sorted; nothing where the source keeps no list."""
        names = getattr(self._source, "names", None)
        return sorted(names()) if callable(names) else ()

    def cards(self) -> list[PromptCard]:
        """A card for each prompt."""
        return [_card(entry) for entry in self.shelf.list()]

    def card(self, name: str) -> PromptCard | None:
        """The card of one prompt, or None where there is none."""
        return next((card for card in self.cards() if card.id == name), None)

    @property
    def shelf(self) -> Shelf:
        """What lists and changes prompts.

        Raises:
            ApiError: 403, the prompts of this server cannot be changed.
        """
        if not hasattr(self._source, "publish"):
            message = "The prompts of this server are fixed; start it with a folder of prompts."
            raise ApiError(403, message, code="prompts_are_fixed")
        return cast(Shelf, self._source)


def _card(entry: Any) -> PromptCard:
    return PromptCard(
        id=entry.name,
        version=entry.current,
        versions=list(entry.versions),
        aliases=dict(entry.aliases),
        details={},
    )
