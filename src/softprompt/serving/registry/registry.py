"""Prompts by name, version and alias, from a folder of artifacts that alone decides.

    registry = Registry("prompts", backbone=backbone)
    registry.publish("reviews", "runs/reviews/prompt", aliases=["production"])
    registry.resolve("reviews@production").label                 # 'reviews@1'

Several registries, in one process or in many, on one machine or on a shared disk, may work on one
folder: each sees what the others publish. It does not know who asks, nor how prompts are used.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from softprompt.backbones import Backbone, Identity
from softprompt.errors import ArtifactError, UnknownPromptError, UsageError
from softprompt.prompts import SoftPrompt
from softprompt.serving.registry import names
from softprompt.serving.registry.cards import Card
from softprompt.serving.registry.changes import Changes
from softprompt.serving.registry.examination import details, examine
from softprompt.serving.registry.fitting import Fitting
from softprompt.serving.registry.folder import PromptFolder
from softprompt.serving.registry.held import Held
from softprompt.serving.registry.keeping import IndexKeeper
from softprompt.serving.registry.location import index_location
from softprompt.serving.registry.lookup import (
    find,
    known,
    known_alone,
    unknown_name,
    unknown_version,
)
from softprompt.serving.registry.record import Intent, Record
from softprompt.serving.registry.state import LOOSE, State, Stored
from softprompt.serving.source import Version

__all__ = ["Registry"]


class Registry:
    """A source of prompts (`softprompt.serving.Source`) that are published into a folder.

    All methods may be called from any thread.

    Args:
        folder: of the prompts; made when something is published.
        index_url: a database for the index, `sqlite:///FILE` or `postgresql://...`; a SQLite file
            in the folder, or in the user's cache where that is read-only, when absent.
        backbone: that serves, or what names it; prompts of any other are refused when they are
            registered and never served. None accepts all.
        check_every: seconds for which a name is not looked up in the folder again.

    Raises:
        UsageError: the folder is none, the address is none, or a library for it is missing.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        index_url: str | None = None,
        backbone: Backbone | Identity | None = None,
        check_every: float = 0.2,
    ) -> None:
        self._folder = PromptFolder(Path(folder))
        self._changes = Changes(self._folder)
        self._fitting = Fitting(backbone)
        self._keeper = IndexKeeper(
            lambda: index_location(self._folder, self._changes, index_url), self._details
        )
        self._held = Held(self._folder, self._keeper.begin(), check_every)
        if self._folder.own.is_dir():
            self._changes.sweep()
        self.refresh()

    @property
    def folder(self) -> Path:
        """The folder of the prompts."""
        return self._folder.root

    @property
    def index_trouble(self) -> str:
        """Why the index is not in use; "" while it is."""
        return self._keeper.trouble

    def resolve(self, name: str) -> Version:
        """The version that `name`, `name@3` or `name@production` means now.

        Raises:
            UnknownPromptError: there is none, or it cannot be served; the reason is told.
        """
        state, stored = find(self._held, name)
        problem = self._problem(stored)
        if problem or stored.facts is None:
            raise UnknownPromptError(
                f"The prompt {state.name}@{stored.number} is not served. {problem}",
                "Publish it again, or ask for another version.",
            )
        return Version(state.name, stored.number, stored.facts.key)

    def load(self, version: Version) -> SoftPrompt:
        """The content of a version, read and checked.

        Raises:
            ArtifactError: it is damaged.
            UnknownPromptError: it has been removed or replaced.
        """
        told = ""
        for _ in range(2):
            state = self._held.get(version.name)
            stored = state.by_number.get(version.number) if state is not None else None
            if stored is None or (stored.facts is not None and stored.facts.key != version.key):
                break
            path = self._folder.path(version.name, stored.place)
            try:
                prompt, facts = examine(path)
                if facts.key == version.key:
                    return prompt
            except ArtifactError as error:
                told = str(error).replace(str(path), version.label)
            # Perhaps it has only moved into a folder of its own.
            self._held.look(version.name)
        else:
            raise ArtifactError(f"{version.label} cannot be read. {told}", "Publish it again.")
        raise UnknownPromptError(
            f"The prompt {version.label} has been removed or replaced.", "Ask for its name again."
        )

    def path(self, version: Version) -> Path:
        """The folder of a version's artifact, that is only read.

        Raises:
            UnknownPromptError: it has been removed.
        """
        _, stored = find(self._held, version.label)
        return self._folder.path(version.name, stored.place)

    def publish(
        self,
        name: str,
        source: str | Path | SoftPrompt,
        *,
        current: bool = True,
        aliases: Iterable[str] = (),
        tags: Mapping[str, str] | None = None,
    ) -> Version:
        """Adds a version in one step and, unless told otherwise, makes it the current one.

        Args:
            name: of the prompt, new or known.
            source: an artifact's folder, of this project or of PEFT, or a prompt.
            current: whether the bare name shall mean it.
            aliases: that shall mean it.
            tags: set for the name.

        Raises:
            ArtifactError: it is damaged, or made for another backbone.
            UsageError: a name cannot be one, or the folder cannot be written.
        """
        checked = names.prompt_name(name)
        given = Path(source) if isinstance(source, str) else source
        intent = Intent(
            current, tuple(map(names.alias_name, aliases)), names.checked_tags(tags or {})
        )
        number = self._changes.publish(checked, given, intent, self._fitting.check)
        stored = self._after(checked).by_number[number]
        assert stored.facts is not None
        return Version(checked, number, stored.facts.key)

    def check(self, folder: Path) -> str:
        """The key that an artifact would be published with.

        Raises:
            ArtifactError: it is damaged, or made for another backbone.
        """
        prompt, facts = examine(folder)
        self._fitting.check(prompt, facts)
        return facts.key

    def alias(self, reference: str, alias: str) -> Version:
        """Lets an alias mean what `name`, `name@3` or another alias means now.

        Raises:
            UnknownPromptError: there is no such version.
            UsageError: the alias cannot be one.
        """
        checked, version = names.alias_name(alias), self.resolve(reference)

        def change(state: State) -> Record:
            if version.number not in state.by_number:
                raise unknown_version(state, str(version.number))
            aliases = {**state.record.aliases, checked: version.number}
            return replace(state.record, aliases=aliases)

        self._changes.record(version.name, change)
        self._after(version.name)
        return version

    def unalias(self, name: str, alias: str) -> None:
        """Takes an alias away.

        Raises:
            UnknownPromptError: there is no such name or alias.
        """

        def change(state: State) -> Record:
            if alias not in state.record.aliases:
                raise unknown_version(state, alias)
            aliases = {a: n for a, n in state.record.aliases.items() if a != alias}
            return replace(state.record, aliases=aliases)

        self._change(name, change)

    def rollback(self, name: str, number: int | None = None) -> Version:
        """Makes an earlier version current again.

        Args:
            name: of the prompt.
            number: of the version; the one that was current before, when absent.

        Raises:
            UnknownPromptError: there is no such name or version.
            UsageError: there is none before, or it cannot be served.
        """

        def change(state: State) -> Record:
            if number is None and not state.record.before:
                raise UsageError(
                    f"{state.name}@{state.record.current} is the first version that was current.",
                    f"Name one: {', '.join(map(str, state.numbers))}.",
                )
            wanted = state.record.before[-1] if number is None else number
            stored = state.by_number.get(wanted)
            if stored is None:
                raise unknown_version(state, str(wanted))
            if problem := self._problem(stored):
                raise UsageError(
                    f"{state.name}@{wanted} cannot be served. {problem}", "Name another version."
                )
            return state.record.moved(wanted)

        self._change(name, change)
        return self.resolve(name)

    def tag(self, name: str, tags: Mapping[str, str | None]) -> None:
        """Sets tags of a name; those with None are taken away.

        Raises:
            UnknownPromptError: there is no such name.
            UsageError: a tag cannot be called so.
        """
        given = names.checked_tags({tag: value for tag, value in tags.items() if value is not None})

        def change(state: State) -> Record:
            kept = {tag: value for tag, value in state.record.tags.items() if tag not in tags}
            return replace(state.record, tags={**kept, **given})

        self._change(name, change)

    def remove(self, name: str, number: int | None = None) -> None:
        """Removes a version, or a name with all its versions.

        Raises:
            UnknownPromptError: there is no such name or version.
            UsageError: an alias means the version, or it is the only one.
        """
        plain = known_alone(self._held, name).name
        if number is None:
            self._changes.remove(plain)
        else:
            self._changes.remove_version(plain, number)
        self._held.look(plain)
        self._keeper.follow(self._held)

    def list(
        self,
        *,
        tags: Mapping[str, str | None] | None = None,
        sort: str = "name",
        servable: bool = False,
        limit: int | None = None,
        offset: int = 0,
    ) -> Sequence[Card]:
        """A card of the current version of each name.

        Args:
            tags: that a name must have, with this value or, at None, with any.
            sort: `name`, `created` (the newest first) or a metric such as `test.accuracy` (the
                highest first).
            servable: leave out what is not served; what lies in the folder and cannot even be a
                prompt is told only to those who ask for everything.
            limit, offset: how many, and how many are passed over before.
        """
        self._held.look_everywhere(sparing=True)
        wanted = tags or {}
        cards: list[Card] = []
        for _ in range(2):
            rows = self._keeper.rows(
                self._held,
                tags=wanted,
                sort=sort,
                fit=self._fitting.fit,
                servable=servable,
                limit=limit,
                offset=offset,
            )
            cards, old = [], []
            for row in rows:
                state = self._held.states.get(row.name)
                stored = state.numbered(row.number) if state is not None else None
                if state is None or stored is None or stored.key != row.key:
                    old.append(row.name)
                else:
                    shown = row.details or self._details(state, stored) or {}
                    cards.append(Card.of(state, stored, shown, self._problem(stored, state)))
            if not wanted and limit is None and not offset:
                old += self._left_out({row.name for row in rows}, servable)
            if not old:
                break
            self._held.mark_changed(old)
        if not (servable or wanted or offset or limit is not None):
            cards += self._strange()
        return cards

    def history(self, name: str) -> Sequence[Card]:
        """A card of every version of a name, the newest first.

        Raises:
            UnknownPromptError: there is no such name.
        """
        state = known(self._held, name)
        return [
            Card.of(state, stored, self._details(state, stored) or {}, self._problem(stored))
            for stored in sorted(state.versions, key=lambda stored: -stored.number)
        ]

    def names(self) -> Sequence[str]:
        """All names, sorted, also of what cannot be served."""
        return sorted(self._held.states)

    def refresh(self) -> None:
        """Looks up everything in the folder, and brings the index up to date."""
        self._held.look_everywhere()
        self._keeper.follow(self._held)

    def close(self) -> None:
        """Brings the index up to date and closes it."""
        self._keeper.follow(self._held)
        self._keeper.close()

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _problem(self, stored: Stored, state: State | None = None) -> str:
        problem = stored.problem or (state.problem if state is not None else "")
        return problem or (self._fitting.problem(stored.facts) if stored.facts else "")

    def _change(self, name: str, change: Callable[[State], Record]) -> None:
        plain = known_alone(self._held, name).name
        self._changes.record(plain, change)
        self._after(plain)

    def _after(self, name: str) -> State:
        """The state after a change by this process, in the index as well."""
        state = self._held.look(name)
        self._keeper.follow(self._held)
        if state is None:
            raise unknown_name(name, self._held.states)
        return state

    def _details(self, state: State, stored: Stored) -> Mapping[str, Any] | None:
        if stored.facts is None:
            return None
        return details(self._folder.path(state.name, stored.place), stored.facts.key)

    def _left_out(self, listed: Collection[str], servable: bool) -> Sequence[str]:
        """Names that the index should have listed; others may have changed its rows."""
        missing = [state for name, state in [*self._held.states.items()] if name not in listed]
        return [
            state.name
            for state in missing
            if (stored := state.by_number.get(state.record.current)) is not None
            and not (servable and self._problem(stored, state))
        ]

    def _strange(self) -> Sequence[Card]:
        """What lies in the folder under no version at all, with the reason."""
        found = dict(self._held.strange)
        found |= {s.name: s.problem for s in [*self._held.states.values()] if not s.versions}
        return [
            Card(name=name, number=LOOSE, current=False, problem=problem)
            for name, problem in sorted(found.items())
        ]
