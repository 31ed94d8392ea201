"""What a client asks of files and jobs and cannot have.

ServingError
├── UnknownItemError    no file or job of this caller has the ID
└── ItemStateError      the file or job is in a state in which that cannot be done
"""

from __future__ import annotations

from softprompt.errors import ServingError

__all__ = ["ItemStateError", "UnknownItemError"]


class UnknownItemError(ServingError):
    """No file or job has the ID, or it is another key's."""


class ItemStateError(ServingError):
    """The file or the job is in a state in which that cannot be done.

    Args:
        message, hint: as for every error.
        code: a word that programs compare.
    """

    def __init__(self, message: str, hint: str = "", code: str = "invalid_state") -> None:
        super().__init__(message, hint)
        self.code = code
