"""The commands, one file each, and the register that they enter themselves in.

A command turns flags into an `Outcome` and prints nothing on standard output itself. Its module
imports nothing heavy at the top, so that `softprompt --help` need not wait for torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from rich.console import Console

from softprompt.locale import mark
from softprompt.registry import Registry, discover

__all__ = ["COMMANDS", "Command", "Outcome", "command"]


@dataclass(frozen=True)
class Outcome:
    """What a command found.

    Args:
        value: the JSON object that `--json` prints.
        show: prints the same for people.
        as_json: whether `--json` was given.
        code: the exit code, above 0 where nothing of what was asked for could be done.
    """

    value: Mapping[str, Any]
    show: Callable[[Console], None]
    as_json: bool = False
    code: int = 0


@dataclass(frozen=True)
class Command:
    """A command as the help shows it.

    Args:
        run: from flags to an outcome; None where it has printed everything already.
        summary: what it does, one sentence in English; translated when shown.
        examples: command lines to copy.
    """

    run: Callable[..., Outcome | None]
    summary: str
    examples: tuple[str, ...]


COMMANDS: Registry[Command] = Registry(mark("command"))

F = TypeVar("F", bound=Callable[..., Outcome | None])


def command(name: str, *, summary: str, examples: tuple[str, ...]) -> Callable[[F], F]:
    """A decorator that enters a function as the command `name`."""

    def add(function: F) -> F:
        COMMANDS.register(name)(Command(function, summary, examples))
        return function

    return add


discover(__name__, list(__path__))
