"""What lies in the folder under one name, as it was last read.

Plain values that go to the index and back as JSON. They do not know how folders are read.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from softprompt.serving.registry.examination import Facts
from softprompt.serving.registry.record import Record

__all__ = ["LOOSE", "State", "Stored"]

LOOSE = 0
"""The number of an artifact that lies beside a name's versions, where nobody can ask for it."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One version in the folder.

    Args:
        number: of the version, or `LOOSE`.
        place: its folder below the name's; "" where the artifact lies in the name's folder itself.
        stamp: what changes with its files; "" where they were changed too recently to be sure.
        facts: of a whole artifact; None of one that cannot be served.
        problem: why it cannot be served; "" of a whole artifact.
    """

    number: int
    place: str
    stamp: str
    facts: Facts | None
    problem: str = ""

    @property
    def key(self) -> str:
        """The digest of its content; "" of one that cannot be served."""
        return self.facts.key if self.facts else ""


@dataclass(frozen=True)
class State:
    """All versions of a name, and its record in line with them.

    Args:
        name: of the prompt, and of its folder.
        stamp: what changes with the folder; "" where it was changed too recently to be sure.
        record: current version, aliases, tags.
        versions: by number, ascending.
        problem: why neither the bare name nor an alias can be trusted; "" where they can.
    """

    name: str
    stamp: str
    record: Record
    versions: tuple[Stored, ...]
    problem: str = ""

    @cached_property
    def by_number(self) -> Mapping[int, Stored]:
        """The versions that can be asked for."""
        return {stored.number: stored for stored in self.versions if stored.number != LOOSE}

    @property
    def numbers(self) -> list[int]:
        """Numbers of the versions that can be asked for, ascending."""
        return sorted(self.by_number)

    def numbered(self, number: int) -> Stored | None:
        """What has a number, `LOOSE` as well."""
        return next((stored for stored in self.versions if stored.number == number), None)

    def as_json(self) -> dict[str, Any]:
        """As plain data, without the name."""
        return {
            "stamp": self.stamp,
            "record": self.record.as_json(),
            "versions": [asdict(stored) for stored in self.versions],
            "problem": self.problem,
        }

    @classmethod
    def from_json(cls, name: str, value: Mapping[str, Any]) -> State:
        """From plain data.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        versions = tuple(
            Stored(**{**stored, "facts": _facts(stored["facts"])}) for stored in value["versions"]
        )
        record = Record.from_json(value["record"])
        return cls(name, value["stamp"], record, versions, value["problem"])


def _facts(value: Mapping[str, Any] | None) -> Facts | None:
    if value is None:
        return None
    # Thousands of prompts have one backbone: its names are kept once.
    shared = {
        name: sys.intern(value[name]) for name in ("depth", "backbone", "weights", "tokenizer")
    }
    return Facts(**{**value, **shared})
