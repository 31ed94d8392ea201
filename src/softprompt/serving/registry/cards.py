"""What a list of prompts shows of each: plain values. It does not know where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from softprompt.serving.registry.state import LOOSE, State, Stored

__all__ = ["Card"]


@dataclass(frozen=True, kw_only=True)
class Card:
    """A version of a prompt as a list shows it.

    Args:
        name, number: of the prompt and the version; number 0 of what has no version.
        current: whether the bare name means it.
        aliases: that mean it.
        tags: of the name.
        problem: why it is not served; "" where it is.
        key: digest of the artifact.
        kind, target, inputs, labels: the task (`classification` or `generation`), where the answer
            goes, the columns that are read, and the answers to choose from.
        placement, depth, length, members, parameters: of the vectors.
        backbone, weights: name and fingerprint of what it was trained over.
        metrics: on named splits.
        bytes: of vectors and description.
        created: seconds since 1970 when it was put into the folder.
    """

    name: str
    number: int
    current: bool
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    key: str = ""
    kind: str = ""
    target: str = ""
    inputs: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    placement: str = ""
    depth: str = ""
    length: int = 0
    members: int = 0
    parameters: int = 0
    backbone: str = ""
    weights: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    bytes: int = 0
    created: float = 0.0

    @property
    def label(self) -> str:
        """`name@3`, or the bare name of what has no version."""
        return f"{self.name}@{self.number}" if self.number else self.name

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def of(
        cls, state: State, stored: Stored, details: Mapping[str, Any], problem: str = ""
    ) -> Card:
        """The card of a version.

        Args:
            state: of its name.
            stored: the version.
            details: see `softprompt.serving.registry.examination.details`.
            problem: why it is not served.
        """
        number = stored.number
        texts = {name: tuple(details[name]) for name in ("inputs", "labels") if name in details}
        return cls(
            **{
                **details,
                **texts,
                "name": state.name,
                "number": number,
                "current": number == state.record.current and number != LOOSE,
                "aliases": tuple(
                    alias
                    for alias, meant in sorted(state.record.aliases.items())
                    if meant == number and number != LOOSE
                ),
                "tags": dict(state.record.tags),
                "problem": problem,
                "key": stored.facts.key if stored.facts else "",
                "weights": stored.facts.weights if stored.facts else "",
            }
        )
