"""One replica: an engine with a model of its own, as a process of Ray Serve runs it.

Errors that a caller can mend leave as values, since Ray wraps exceptions in its own. It does not
know who asks, nor the other replicas.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from softprompt.backbones import Identity, load_backbone
from softprompt.cluster.settings import ReplicaSettings
from softprompt.errors import SoftPromptError, UnknownPromptError
from softprompt.serving import Engine, Request, Ticket
from softprompt.serving.registry import Registry
from softprompt.serving.ticket import Event

__all__ = ["Replica", "Report"]


@dataclass(frozen=True)
class Report:
    """What a replica says of itself at the end of a call.

    Args:
        replica: its name.
        figures: its engine's.
    """

    replica: str
    figures: dict[str, Any]


Said = tuple[int, Event] | Report
"""The place of a request with what comes of it, or a report."""


class Replica:
    """An engine over the shared folder of prompts.

    Args:
        settings: of all replicas.
        name: of this one.
    """

    def __init__(self, settings: ReplicaSettings, name: str) -> None:
        self._name = name
        backbone = load_backbone(settings.model, dtype=settings.dtype, device=settings.device)
        self._registry = Registry(settings.prompts, index_url=settings.database, backbone=backbone)
        self._engine = Engine(
            backbone,
            self._registry,
            # Serve lets no more in; a task list of one request counts as many.
            max_waiting=64 * settings.max_ongoing,
            max_rows=settings.max_rows,
        )

    @property
    def identity(self) -> Identity:
        """Of the model that it has loaded."""
        return self._engine.backbone.identity

    async def answer(
        self, requests: Sequence[Request]
    ) -> AsyncIterator[tuple[int, Event] | Report]:
        """Answers requests about one text.

        Yields:
            The place of a request with its next piece, answer or failure; a report at the end.
        """
        try:
            # Tokenising must not keep other requests' pieces waiting.
            tickets = await asyncio.to_thread(self._submit, requests)
        except SoftPromptError as error:
            for place in range(len(requests)):
                yield place, error
            return
        events: asyncio.Queue[tuple[int, Event | None]] = asyncio.Queue()
        readers = [
            asyncio.create_task(_read(place, ticket, events))
            for place, ticket in enumerate(tickets)
        ]
        try:
            left = len(tickets)
            while left:
                place, event = await events.get()
                if event is None:
                    left -= 1
                else:
                    yield place, event
            yield Report(self._name, self._engine.figures)
        finally:
            # Whoever stops listening gives the answers up.
            for reader in readers:
                reader.cancel()

    def close(self) -> None:
        """Ends the engine; what is left fails."""
        self._engine.close(drain=False)
        self._registry.close()

    def _submit(self, requests: Sequence[Request]) -> list[Ticket]:
        try:
            return self._engine.submit_together(requests)
        except UnknownPromptError:
            # It may have been published in another process a moment ago.
            self._registry.refresh()
            return self._engine.submit_together(requests)


async def _read(
    place: int, ticket: Ticket, events: asyncio.Queue[tuple[int, Event | None]]
) -> None:
    try:
        async for event in ticket:
            await events.put((place, event))
    except SoftPromptError as error:
        await events.put((place, error))
    await events.put((place, None))
