"""What a reference means: `name`, `name@3`, `name@production`; else the nearest that is there."""

from __future__ import annotations

import difflib
from bisect import bisect_left
from collections.abc import Collection

from softprompt.errors import UnknownPromptError, UsageError, nearest
from softprompt.serving.registry import names
from softprompt.serving.registry.held import Held
from softprompt.serving.registry.state import LOOSE, State, Stored

__all__ = ["find", "known", "known_alone", "unknown_name", "unknown_version"]

_FEW = 40
_AROUND = 50
_LONGEST = 100
_DIGITS = 12


def known(held: Held, reference: str) -> State:
    """The state of the name in a reference.

    Raises:
        UnknownPromptError: there is no such name.
    """
    name = names.split(reference)[0]
    state = held.get(name) if names.is_name(name) else None
    if state is None:
        raise unknown_name(name, held.states)
    return state


def known_alone(held: Held, name: str) -> State:
    """The state of a name that has to stand alone, where a change concerns all of it.

    Raises:
        UnknownPromptError: there is no such name.
        UsageError: a version or an alias is named with it, or was meant to be.
    """
    if "@" in name:
        shown = name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..."
        raise UsageError(
            f"{shown!r} is more than the name of a prompt.", "Give the name alone, without @."
        )
    return known(held, name)


def find(held: Held, reference: str) -> tuple[State, Stored]:
    """The version that a reference means, whether or not it can be served.

    Raises:
        UnknownPromptError: there is none, or nobody knows which is meant.
    """
    state, wanted = known(held, reference), names.split(reference)[1]
    number = state.record.aliases.get(wanted, LOOSE) if wanted else state.record.current
    if wanted.isascii() and wanted.isdecimal():
        number = int(wanted[:_DIGITS])
    elif state.problem:
        raise UnknownPromptError(f"The prompt {state.name!r} is not served. {state.problem}")
    stored = state.by_number.get(number)
    if stored is None:
        raise unknown_version(state, wanted)
    return state, stored


def unknown_name(name: str, there: Collection[str]) -> UnknownPromptError:
    """The error for a name that nothing has.

    Of many names only those that sort near it are compared: anybody may ask for a name that is not
    there, and must not keep the server busy with it.

    Args:
        name: as it was asked for, without version.
        there: all names.
    """
    shown = name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..."
    message = f"There is no prompt {shown!r}."
    if len(there) <= _FEW:
        hint = nearest(shown, there) if there else "None is registered yet."
        return UnknownPromptError(message, hint)
    ordered = sorted(there)
    place = bisect_left(ordered, name)
    around = ordered[max(0, place - _AROUND) : place + _AROUND]
    close = difflib.get_close_matches(shown, around, n=1, cutoff=0.5)
    guess = f"Did you mean {close[0]!r}? " if close else ""
    return UnknownPromptError(message, f"{guess}{len(there)} prompts are registered.")


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
