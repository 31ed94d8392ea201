"""Who hears of a run while it runs: one file a reporter.

A reporter gets plain records and can do nothing to the run. The command line's display is one;
TensorBoard and the like are optional others.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from softprompt.errors import UsageError
from softprompt.locale import _, mark
from softprompt.registry import Registry, discover

__all__ = ["REPORTERS", "Part", "Reporter", "Reporters", "scalars", "tracker"]


class Reporter:
    """Hears everything and does nothing; override what is of interest."""

    def stage(self, name: str, about: Mapping[str, Any]) -> None:
        """A stage begins: `load`, `context`, `round`, `training`, `evaluation`, `baselines`."""

    def progress(self, done: int, total: int) -> None:
        """The present stage has done so much of so much."""

    def record(self, record: Mapping[str, Any]) -> None:
        """One line of metrics.jsonl: `kind` is `train` or `validation`."""

    def warning(self, text: str) -> None:
        """Something that the user may want to change."""

    def close(self, result: Mapping[str, Any] | None) -> None:
        """The run has ended, well (with its result) or not."""


class Reporters(Reporter):
    """Several reporters as one."""

    def __init__(self, members: Sequence[Reporter]) -> None:
        self.members = tuple(members)

    def stage(self, name: str, about: Mapping[str, Any]) -> None:
        for member in self.members:
            member.stage(name, about)

    def progress(self, done: int, total: int) -> None:
        for member in self.members:
            member.progress(done, total)

    def record(self, record: Mapping[str, Any]) -> None:
        for member in self.members:
            member.record(record)

    def warning(self, text: str) -> None:
        for member in self.members:
            member.warning(text)

    def close(self, result: Mapping[str, Any] | None) -> None:
        for member in self.members:
            member.close(result)


class Part(Reporters):
    """Several reporters of a part of a run, all of whose stages have one name.

    Args:
        members: that hear of it.
        name: of its stages.
        about: what each stage tells beside its own.
    """

    def __init__(self, members: Sequence[Reporter], name: str, about: Mapping[str, Any]) -> None:
        super().__init__(members)
        self._name, self._about = name, about

    def stage(self, name: str, about: Mapping[str, Any]) -> None:
        super().stage(self._name, {**about, **self._about})


def scalars(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a record, named `kind/name`; lists and words are left out."""
    return {
        f"{record['kind']}/{name}": float(value)
        for name, value in record.items()
        if isinstance(value, int | float) and name != "step"
    }


def tracker(name: str) -> Any:
    """An experiment tracker's module.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise UsageError(
            _("The reporter needs the library {package!r}, which is not installed.").format(
                package=package
            ),
            _("Run: pip install {package}").format(
                package="tensorboard" if package == "torch" else package
            ),
        ) from error


REPORTERS: Registry[Callable[[Path, Mapping[str, Any]], Reporter]] = Registry(mark("reporter"))
"""From the run's folder and its configuration to a reporter."""

discover(__name__, list(__path__))
