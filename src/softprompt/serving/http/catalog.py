"""The prompts of a source as a list, and what an administrator may do to them.

An engine needs a source only to find prompts by name; a registry also lists and changes them. What
a source cannot do is refused in words. It does not know who asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

from softprompt.errors import UnknownPromptError
from softprompt.serving.http.errors import ApiError, public
from softprompt.serving.http.schemas.prompts import PromptCard, PromptVersion
from softprompt.serving.source import Source

if TYPE_CHECKING:
    from softprompt.serving.registry import Card, Registry

__all__ = ["Catalog"]


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

    def served(self) -> dict[str, int | None]:
        """Names that can be asked for, sorted, with the seconds since 1970 of their making."""
        if not hasattr(self._source, "publish"):
            return dict.fromkeys(self.names())
        return {card.name: int(card.created) for card in self.registry.list(servable=True)}

    def cards(self) -> list[PromptCard]:
        """A card for each prompt, with its current version."""
        return [_card(card.name, [card]) for card in self.registry.list(servable=True)]

    def card(self, name: str) -> PromptCard | None:
        """The card of one prompt with all its versions, or None where there is none."""
        try:
            return _card(name, self.registry.history(name))
        except UnknownPromptError:
            return None

    @property
    def registry(self) -> Registry:
        """What lists and changes prompts.

        Raises:
            ApiError: 403, the prompts of this server cannot be changed.
        """
        if not hasattr(self._source, "publish"):
            message = "The prompts of this server are fixed; start it with a folder of prompts."
            raise ApiError(403, message, code="prompts_are_fixed")
        return cast("Registry", self._source)


def _card(name: str, cards: Sequence[Card]) -> PromptCard:
    return PromptCard(
        id=name,
        version=next((card.number for card in cards if card.current), None),
        aliases={alias: card.number for card in cards for alias in card.aliases},
        tags=dict(cards[0].tags) if cards else {},
        versions=[_version(card) for card in cards if card.number],
    )


def _version(card: Card) -> PromptVersion:
    return PromptVersion(
        id=card.label,
        version=card.number,
        current=card.current,
        aliases=list(card.aliases),
        problem=public(card.problem) or None,
        kind=card.kind,
        inputs=list(card.inputs),
        labels=list(card.labels),
        placement=card.placement,
        depth=card.depth,
        length=card.length,
        parameters=card.parameters,
        metrics=dict(card.metrics),
        bytes=card.bytes,
        created=int(card.created),
    )
