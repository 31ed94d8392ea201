"""What is written down about one name: which version is current, aliases, tags.

A record is a value, and each change makes another one. It does not know files: which versions there
are is told to it, since a folder may have changed by hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["HIGHEST", "Intent", "Record"]

FORMAT = 1
HIGHEST = 999_999_999
"""The highest number of a version."""


@dataclass(frozen=True)
class Intent:
    """What the publication of a version shall change beside adding it.

    It lies in the version's folder, so that the one step that puts the folder in its place does
    everything: whoever reads the registry applies it, the publisher writes it down afterwards.

    Args:
        current: whether the version becomes what the bare name means.
        aliases: that shall mean it.
        tags: set for the name.
    """

    current: bool = True
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "format": FORMAT,
            "current": self.current,
            "aliases": list(self.aliases),
            "tags": dict(self.tags),
        }

    @classmethod
    def from_json(cls, value: Any) -> Intent:
        """From plain data.

        Raises:
            ValueError: it is no intent, or of a newer format.
        """
        _check_format(value)
        current, aliases = value.get("current", True), value.get("aliases", [])
        if not isinstance(current, bool) or not isinstance(aliases, list):
            raise ValueError("current or aliases are of another type")
        return cls(current, tuple(map(str, aliases)), _texts(value.get("tags", {})))


@dataclass(frozen=True)
class Record:
    """Current version, aliases and tags of one name.

    Args:
        current: the version that the bare name means; 0 for the highest.
        last: the highest number ever given; a higher one in the folder is a publication that is
            not written down yet, or was put there by hand. None where a person wrote the record.
        before: versions that were current before, the latest last; a rollback goes back to it.
        aliases: from alias to version.
        tags: from name to value.
    """

    current: int = 0
    last: int | None = 0
    before: tuple[int, ...] = ()
    aliases: Mapping[str, int] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "format": FORMAT,
            "current": self.current,
            "aliases": dict(sorted(self.aliases.items())),
            "tags": dict(sorted(self.tags.items())),
            "before": list(self.before),
            "last": self.last,
        }

    @classmethod
    def from_json(cls, value: Any) -> Record:
        """From plain data.

        Raises:
            ValueError: it is no record, or of a newer format.
        """
        _check_format(value)
        aliases, last = value.get("aliases", {}), value.get("last")
        before = value.get("before", [])
        if not isinstance(aliases, dict) or not isinstance(before, list):
            raise ValueError("aliases or before are of another type")
        return cls(
            _number(value.get("current", 0)),
            None if last is None else _number(last),
            tuple(map(_number, before)),
            {str(alias): _number(number) for alias, number in aliases.items()},
            _texts(value.get("tags", {})),
        )

    def among(self, versions: Mapping[int, Intent | None]) -> Record:
        """The record brought in line with the versions that there are.

        Args:
            versions: the intent of each; None for one that is damaged and becomes current only
                where nothing else is there.
        """
        last = max(versions, default=0) if self.last is None else self.last
        record = replace(self, last=last)
        for number in sorted(number for number in versions if number > last):
            intent = versions[number]
            if intent is not None:
                record = record.with_version(number, intent)
        before = [n for n in record.before if n in versions]
        current = record.current
        if current not in versions:
            sound = [number for number, intent in versions.items() if intent is not None]
            current = before.pop() if before else max(sound or versions, default=0)
        return replace(record, current=current, before=tuple(n for n in before if n != current))

    def with_version(self, number: int, intent: Intent) -> Record:
        """After a publication."""
        record = replace(
            self,
            last=number,
            aliases={**self.aliases, **dict.fromkeys(intent.aliases, number)},
            tags={**self.tags, **intent.tags},
        )
        return record.moved(number) if intent.current else record

    def moved(self, number: int) -> Record:
        """With another current version: back to one that was current before, or on to another."""
        if number == self.current:
            return self
        if number in self.before:
            before = self.before[: self.before.index(number)]
        else:
            before = (*self.before, self.current) if self.current else self.before
        return replace(self, current=number, before=before)


def _check_format(value: Any) -> None:
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    found = value.get("format")
    if not isinstance(found, int) or found > FORMAT:
        raise ValueError(f"its format is {found!r}, and this version reads up to {FORMAT}")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        # JSON can write halves of a character, which neither a file nor a database takes.
        raise ValueError("it holds half a character") from error


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= HIGHEST:
        raise ValueError(f"{value!r} is no version")
    return value


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError("tags are no mapping")
    return {str(key): str(text) for key, text in value.items()}
