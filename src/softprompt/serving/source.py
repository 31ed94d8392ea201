"""Where an engine finds prompts by name.

A source says which version a name means now; the engine keeps what it has loaded by the version's
key, so that a replaced prompt is another one and a request in flight keeps the one it began with.
It does not know the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from softprompt.errors import UnknownPromptError, nearest
from softprompt.prompts import SoftPrompt

__all__ = ["Prompts", "Source", "Version"]


@dataclass(frozen=True)
class Version:
    """A prompt that never changes.

    Args:
        name: of the prompt, without version.
        number: of the version, from 1.
        key: what is the same for the same content and different for any other (a digest).
    """

    name: str
    number: int
    key: str

    @property
    def label(self) -> str:
        """`name@3`."""
        return f"{self.name}@{self.number}"


class Source(Protocol):
    """Prompts by name. Both methods are called from several threads and must be fast."""

    def resolve(self, name: str) -> Version:
        """The version that `name`, `name@3` or `name@alias` means now.

        Raises:
            UnknownPromptError: there is none; the message names the nearest.
        """
        ...

    def load(self, version: Version) -> SoftPrompt:
        """Its content, checked.

        Raises:
            ArtifactError: it is damaged.
            UnknownPromptError: it has been removed.
        """
        ...


class Prompts:
    """A source in memory: every `put` under one name is a new version of it.

    Args:
        prompts: the first versions by name.
    """

    def __init__(self, prompts: Mapping[str, SoftPrompt] | None = None) -> None:
        self._lock = Lock()
        self._versions: dict[str, list[tuple[str, SoftPrompt]]] = {}
        self._count = 0
        for name, prompt in (prompts or {}).items():
            self.put(name, prompt)

    def put(self, name: str, prompt: SoftPrompt) -> Version:
        """Adds a prompt, or a new version of it."""
        with self._lock:
            versions = self._versions.setdefault(name, [])
            # Never the same again, even where a prompt is removed and another gets its name.
            self._count += 1
            versions.append((f"{id(self)}/{self._count}", prompt))
            return Version(name, len(versions), versions[-1][0])

    def remove(self, name: str) -> None:
        """Forgets all versions of a prompt.

        Raises:
            UnknownPromptError: there is none.
        """
        with self._lock:
            if self._versions.pop(name, None) is None:
                raise self._unknown(name)

    def names(self) -> list[str]:
        """Names of all prompts, sorted."""
        with self._lock:
            return sorted(self._versions)

    def resolve(self, name: str) -> Version:
        """See `Source.resolve`; there are no aliases."""
        stem, _, wanted = name.partition("@")
        with self._lock:
            versions = self._versions.get(stem, [])
            number = len(versions) if not wanted else int(wanted) if wanted.isdecimal() else 0
            if not 1 <= number <= len(versions):
                raise self._unknown(name)
            return Version(stem, number, versions[number - 1][0])

    def load(self, version: Version) -> SoftPrompt:
        """See `Source.load`."""
        with self._lock:
            for key, prompt in self._versions.get(version.name, []):
                if key == version.key:
                    return prompt
            raise self._unknown(version.label)

    def _unknown(self, name: str) -> UnknownPromptError:
        return UnknownPromptError(
            f"There is no prompt {name!r}.", nearest(name, self._versions) if self._versions else ""
        )
