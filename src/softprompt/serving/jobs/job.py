"""A job as it is written down: what was asked for, how far it is, what came of it.

It is plain values and knows neither the process nor the queue.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

__all__ = ["ACTIVE", "Failure", "Job", "Level", "Order", "Published", "Status", "Word"]

Status = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
Level = Literal["info", "warn", "error"]

ACTIVE: tuple[Status, ...] = ("queued", "running", "paused")
"""States after which something may still happen; files of such a job stay."""


@dataclass(frozen=True)
class Order:
    """What a client asks for.

    Args:
        model: name of the base model.
        training_file: ID of a file.
        validation_file: ID of another one, or None.
        suffix: what the prompt shall be called; None for a name of the job's own.
        hyperparameters: settings by OpenAI's names and our own, those that were given.
        task: settings of the table (columns, template, choices), those that were given.
        seed: of everything random.
        metadata: of the client's own.
    """

    model: str
    training_file: str
    validation_file: str | None = None
    suffix: str | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Failure:
    """Why there is no prompt.

    Args:
        code: a word that programs compare.
        message: one sentence and what to do; may name paths of this machine.
    """

    code: str
    message: str


@dataclass(frozen=True)
class Published:
    """The prompt that a job made.

    Args:
        label: name and version, `reviews@1`.
        key: digest of the artifact.
    """

    label: str
    key: str


@dataclass(frozen=True)
class Word:
    """Something that happened.

    Args:
        time: seconds since 1970.
        level: how much it matters.
        message: one sentence.
    """

    time: float
    level: Level
    message: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job.

    Args:
        id: `ftjob-` and 24 hexadecimal digits.
        order: what was asked for.
        owner: ID of the key that asked; None on a server without keys.
        name: that the prompt will have.
        status: how far it is.
        created, queued: seconds since 1970; `queued` is when it was last put into the queue.
        started, finished: seconds since 1970, or None; of the last attempt.
        stopping: `cancel` or `pause` where that was asked for; "" otherwise.
        restarts: how often it went on by itself after the machine or the container had ended.
        failure: why it failed, or None.
        published: what it made, or None.
        words: what happened, oldest first.
    """

    id: str
    order: Order
    owner: str | None
    name: str
    status: Status = "queued"
    created: float = 0.0
    queued: float = 0.0
    started: float | None = None
    finished: float | None = None
    stopping: str = ""
    restarts: int = 0
    failure: Failure | None = None
    published: Published | None = None
    words: tuple[Word, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """IDs of the files that it reads."""
        order = self.order
        return tuple(file for file in (order.training_file, order.validation_file) if file)

    def now(self, message: str, level: Level = "info", **changes: Any) -> Job:
        """The job after something has happened."""
        word = Word(time.time(), level, message)
        return replace(self, words=(*self.words, word), **changes)

    def ended(self, status: Status, message: str, failure: Failure | None = None) -> Job:
        """The job after its last step."""
        level: Level = "info" if failure is None else "error"
        ended = time.time()
        return self.now(message, level, status=status, finished=ended, failure=failure, stopping="")

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Job:
        """The job of what `as_json` gave.

        Raises:
            TypeError, KeyError: it is none.
        """
        failure, published = value["failure"], value["published"]
        parts = {
            "order": Order(**value["order"]),
            "failure": None if failure is None else Failure(**failure),
            "published": None if published is None else Published(**published),
            "words": tuple(Word(**word) for word in value["words"]),
        }
        return cls(**{**value, **parts})
