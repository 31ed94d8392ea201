"""The exceptions that softprompt raises on purpose, and nothing else.

    SoftPromptError
    ├── UsageError         a flag, a configuration key or a combination that cannot be
    │   └── ConfigError    ... found in a configuration file or a --set
    ├── DataError          a file, a column, a row or a label
    ├── BackboneError      a model or tokenizer that cannot be loaded or used
    ├── ArtifactError      a saved prompt that is damaged, too new or for another backbone
    ├── TrainingError      a run that cannot start or go on
    │   └── DivergedError  the loss is not a number any more
    └── ServingError       a request that the engine cannot answer
        ├── UnknownPromptError  ... because nothing has the name that it asks for
        ├── OverloadedError     ... because too many are waiting; may be tried again
        ├── DeadlineError       ... because its time was over before its answer was whole
        └── CancelledError      ... because its client has gone

Each carries one sentence that says what was received and what is allowed, and a `hint` that says
what to do. The command line prints both on one line and exits with code 2.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable

from softprompt.locale import _, mark, retold

__all__ = [
    "ArtifactError",
    "BackboneError",
    "CancelledError",
    "ConfigError",
    "DataError",
    "DeadlineError",
    "DivergedError",
    "OverloadedError",
    "ServingError",
    "SoftPromptError",
    "TrainingError",
    "UnknownPromptError",
    "UsageError",
    "is_out_of_memory",
    "nearest",
    "refusal",
    "system_reason",
]

_MOST_NAMES = 40
_NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "bad_alloc",
)

# What pydantic says, the more special before the more general.
_REFUSALS = (
    mark("Input should be a valid integer, unable to parse string as an integer"),
    mark("Input should be a valid integer, got a number with a fractional part"),
    mark("Input should be a valid integer"),
    mark("Input should be a valid number, unable to parse string as a number"),
    mark("Input should be a valid number"),
    mark("Input should be a finite number"),
    mark("Input should be a valid boolean, unable to interpret input"),
    mark("Input should be a valid boolean"),
    mark("Input should be a valid string"),
    mark("Input should be a valid tuple"),
    mark("Input should be a valid list"),
    mark("Input should be a valid dictionary"),
    mark("Input should be an object"),
    mark("Input should be greater than or equal to {ge}"),
    mark("Input should be greater than {gt}"),
    mark("Input should be less than or equal to {le}"),
    mark("Input should be less than {lt}"),
    mark("Input should be '{names}' or '{last}'"),
    mark("Tuple should have at least {least} item after validation, not {n}"),
    mark("Value error, {error}"),
)

_SYSTEM = (
    mark("No such file or directory"),
    mark("Is a directory"),
    mark("Not a directory"),
    mark("Permission denied"),
)
"""What the system says of a file that cannot be read."""


class SoftPromptError(Exception):
    """A mistake that its user can mend.

    Args:
        message: what was received and what is allowed, one sentence.
        hint: what to do, one sentence; may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


def reason_of(error: BaseException) -> str:
    """The first line of what an error says, or its kind where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def system_reason(error: OSError) -> str:
    """Why the system does not give a file, in the language in use."""
    return retold(error.strerror or str(error), _SYSTEM)


class UsageError(SoftPromptError):
    """A flag, a value or a combination of them that cannot be."""


class ConfigError(UsageError):
    """A key or value in a configuration file or a `--set` that cannot be."""


class DataError(SoftPromptError):
    """A file, a column, a row or a label that cannot be used."""


class BackboneError(SoftPromptError):
    """A model or tokenizer that cannot be loaded or cannot do what is asked."""


class ArtifactError(SoftPromptError):
    """A saved prompt that is damaged, too new, or made for another backbone."""


class TrainingError(SoftPromptError):
    """A run that cannot start or cannot go on."""


class DivergedError(TrainingError):
    """The loss or a gradient is not a finite number."""


class ServingError(SoftPromptError):
    """A request that the engine cannot answer."""


class UnknownPromptError(ServingError):
    """No prompt has the name, version or alias that a request asks for."""


class OverloadedError(ServingError):
    """Too many requests are waiting.

    Args:
        message, hint: as for every error.
        retry_after: seconds after which another try makes sense.
    """

    def __init__(self, message: str, hint: str = "", retry_after: float = 1.0) -> None:
        super().__init__(message, hint)
        self.retry_after = retry_after


class DeadlineError(ServingError):
    """The time that a request gives was over before its answer was whole."""


class CancelledError(ServingError):
    """Nobody waits for the answer any more."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """A sentence that names what is allowed, with the nearest spelling first if one is close.

    Args:
        name: what was received; upper and lower case count as the same.
        allowed: what could have been given; of a long list the first names are shown.
    """
    names = sorted(set(allowed))
    folded = {other.casefold(): other for other in reversed(names)}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    listed = ", ".join(names[:_MOST_NAMES])
    if not names:
        return _("Allowed: nothing.")
    if len(names) > _MOST_NAMES:
        told = _("Allowed: {names} and {n} more.").format(names=listed, n=len(names) - _MOST_NAMES)
    else:
        told = _("Allowed: {names}.").format(names=listed)
    if not close:
        return told
    guess = _("Did you mean {name!r}?").format(name=folded[close[0]])
    return f"{guess} {told}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that it was raised from, says that memory was not enough."""
    # What allocates and what maps weights raise a plain RuntimeError, the system an OSError.
    plain = isinstance(error, RuntimeError) and any(x in str(error).lower() for x in _NO_MEMORY)
    system = isinstance(error, OSError) and error.errno == errno.ENOMEM
    if isinstance(error, MemoryError) or plain or system:
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)


def refusal(message: str) -> str:
    """What pydantic says of a value that cannot be, in the language in use."""
    return retold(message, _REFUSALS)
