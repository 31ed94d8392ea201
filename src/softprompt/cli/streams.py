"""Standard output and standard error: consoles of rich, one line of error, a spinner.

Colour is left out where there is no terminal or NO_COLOR is set; rich sees to both.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from softprompt.locale import _

__all__ = ["console", "drop_output", "error_console", "waiting", "warn"]


def console() -> Console:
    """Standard output for people."""
    return Console(file=sys.stdout, highlight=False, emoji=False, markup=False)


def error_console() -> Console:
    """Standard error, for progress, warnings and errors."""
    return Console(file=sys.stderr, highlight=False, emoji=False, markup=False)


def warn(text: str, to: Console | None = None) -> None:
    """One plain line on standard error."""
    line = Text.assemble((_("warning:"), "yellow"), " ", " ".join(text.split()))
    (to or error_console()).print(line, soft_wrap=True)


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """A spinner on standard error while something without progress goes on."""
    to = error_console()
    if not to.is_terminal:
        yield
        return
    with to.status(text, spinner="dots"):
        yield


def drop_output() -> None:
    """Gives up standard output, which nobody reads any more or which takes nothing."""
    # What is left in its buffer has nowhere to go, and the interpreter would complain of it.
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
