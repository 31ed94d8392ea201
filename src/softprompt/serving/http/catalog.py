"""The prompts of a source as a list, and what an administrator may do to them.

An engine needs a source only to find prompts by name; a registry also lists and changes them. What
a source cannot do is refused in words. It does not know who asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    # What only informs is as the artifact's writer wrote it, and may be anything.
    return PromptVersion(
        id=card.label,
        version=card.number,
        current=card.current,
        aliases=list(card.aliases),
        problem=public(card.problem) or None,
        kind=str(card.kind),
        inputs=[str(column) for column in card.inputs],
        labels=[str(label) for label in card.labels],
        placement=str(card.placement),
        depth=str(card.depth),
        length=_whole(card.length),
        parameters=_whole(card.parameters),
        metrics=_metrics(card.metrics),
        bytes=card.bytes,
        created=int(card.created),
    )


def _whole(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 2**63 else 0


def _metrics(value: object) -> dict[str, dict[str, float]]:
    """The numbers of each split."""
    splits = value.items() if isinstance(value, Mapping) else ()
    return {
        str(split): {
            str(name): float(number)
            for name, number in figures.items()
            if isinstance(number, int | float) and abs(number) < 1e300
        }
        for split, figures in splits
        if isinstance(figures, Mapping)
    }
