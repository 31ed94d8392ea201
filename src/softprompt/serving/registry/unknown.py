"""What is said of a name or a version that is not there: the nearest that is."""

from __future__ import annotations

import difflib
from bisect import bisect_left
from collections.abc import Collection

from softprompt.errors import UnknownPromptError, nearest
from softprompt.serving.registry.state import State

__all__ = ["unknown_name", "unknown_version"]

_FEW = 40
_AROUND = 50
_LONGEST = 100


def unknown_name(name: str, known: Collection[str]) -> UnknownPromptError:
    """The error for a name that nothing has.

    Of many names only those that sort near it are compared: anybody may ask for a name that is not
    there, and must not keep the server busy with it.

    Args:
        name: as it was asked for, without version.
        known: all names.
    """
    shown = name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..."
    message = f"There is no prompt {shown!r}."
    if len(known) <= _FEW:
        hint = nearest(shown, known) if known else "None is registered yet."
        return UnknownPromptError(message, hint)
    ordered = sorted(known)
    place = bisect_left(ordered, name)
    around = ordered[max(0, place - _AROUND) : place + _AROUND]
    close = difflib.get_close_matches(shown, around, n=1, cutoff=0.5)
    guess = f"Did you mean {close[0]!r}? " if close else ""
    return UnknownPromptError(message, f"{guess}{len(known)} prompts are registered.")


def unknown_version(state: State, wanted: str) -> UnknownPromptError:
    """The error for a version or an alias that a name does not have."""
    aliases = state.record.aliases
    shown = f"{state.name}@{wanted[:_LONGEST]}"
    if wanted in aliases:
        return UnknownPromptError(
            f"{shown!r} means version {aliases[wanted]}, which is not there any more.",
            "Let the alias mean another version.",
        )
    there = [*map(str, state.numbers), *aliases]
    return UnknownPromptError(f"There is no prompt {shown!r}.", nearest(wanted, there))
