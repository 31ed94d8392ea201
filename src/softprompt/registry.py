"""Named choices (initialisers, formats, metrics, ...), each registered by the file that defines it.

A registry knows names and nothing about what stands behind them. A package that holds one file a
choice calls `discover` once, so that a new choice is a new file and no list has to be edited.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from softprompt.errors import UsageError, nearest
from softprompt.locale import _

__all__ = ["Registry", "discover"]

T = TypeVar("T")


class Registry(Generic[T]):
    """A mapping from names to choices of one kind.

    Args:
        kind: what the choices are, in the singular, for error messages: mark("initialiser").
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._choices: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that files its object under `name`; a name taken twice is a defect."""

        def add(choice: T) -> T:
            assert name not in self._choices, f"{self.kind} {name!r} is registered twice"
            self._choices[name] = choice
            return choice

        return add

    def get(self, name: str) -> T:
        """The choice of that name.

        Raises:
            UsageError: there is none; the message names the nearest.
        """
        if name not in self._choices:
            raise UsageError(
                _("Unknown {kind} {name!r}.").format(kind=_(self.kind), name=name),
                nearest(name, self._choices),
            )
        return self._choices[name]

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._choices)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self._choices


def discover(package: str, path: list[str]) -> None:
    """Imports every module of a package, so that each registers what it defines."""
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{module.name}")
