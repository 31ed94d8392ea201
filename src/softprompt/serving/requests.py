"""What is asked of an engine and what it answers; plain values.

It does not know how answers are made, nor anything of HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from softprompt.errors import UsageError

__all__ = ["Answer", "Constraint", "Piece", "Request", "Sampling"]

Messages = Sequence[Mapping[str, str]]
"""A conversation: `role` and `content` each."""


@dataclass(frozen=True)
class Constraint:
    """What an answer has to look like.

    Args:
        kind: `choice` (one of several texts), `regex`, or `json` (an object that a schema allows).
        value: the texts, the expression, or the schema.
    """

    kind: Literal["choice", "regex", "json"]
    value: tuple[str, ...] | str | Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How text is written.

    Args:
        max_new_tokens: longest answer, in tokens; None for what the prompt was trained with.
        temperature: 0 takes the likeliest token (as does less than 1e-5); above it samples.
        top_p: only the likeliest tokens that together have this probability are sampled.
        top_k: only so many of the likeliest tokens are sampled; 0 for all.
        seed: of the sampling; None for another one at every request.
        stop: texts before which the answer ends; white space that opens an answer is none of it.
        constraint: what the answer has to look like.

    Raises:
        UsageError: a value is out of its range.
    """

    max_new_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    constraint: Constraint | None = None

    def __post_init__(self) -> None:
        ranges = (
            ("max_new_tokens", self.max_new_tokens or 1, 1, 1_000_000),
            ("temperature", self.temperature, 0, 100),
            ("top_p", self.top_p, 1e-9, 1),
            ("top_k", self.top_k, 0, 1_000_000),
        )
        if self.max_new_tokens == 0:
            raise UsageError("max_new_tokens cannot be 0.", "Ask for 1 token or more.")
        for name, value, least, most in ranges:
            if not least <= value <= most:
                raise UsageError(
                    f"{name} cannot be {value}.", f"It is a number from {least:g} to {most:g}."
                )
        if any(not text for text in self.stop):
            raise UsageError("A stop text is empty.", "Give texts of one character or more.")
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise UsageError(f"seed cannot be {self.seed}.", "It is a number from 0 to 2**63 - 1.")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One text for one prompt, or for the model alone.

    A prompt that has choices scores them in one pass and answers with the likeliest; any other
    writes.

    Args:
        prompt: name of the prompt (`name`, `name@3`, `name@production`); None for the bare model.
        text: what the prompt reads: one text, a mapping from column to text, or messages.
        template: text around the prompt, where the request brings its own; it names its columns in
            braces and ends with `{answer}`.
        choices: labels to score in place of the prompt's own; None for those.
        sampling: how text is written; of no matter where choices are scored.
        deadline: seconds from submission after which nobody needs the answer; None for no limit.

    Raises:
        UsageError: choices are fewer than two, or the same twice.
    """

    prompt: str | None
    text: str | Mapping[str, str] | Messages
    template: str | None = None
    choices: tuple[str, ...] | None = None
    sampling: Sampling = field(default_factory=Sampling)
    deadline: float | None = None

    def __post_init__(self) -> None:
        if self.choices is not None and len(set(self.choices)) != max(2, len(self.choices)):
            raise UsageError(
                f"The choices {list(self.choices)} are not two or more different texts.",
                "Give at least two choices, each once.",
            )


@dataclass(frozen=True)
class Piece:
    """A part of an answer that is being written.

    Args:
        text: what is new.
        tokens: how many tokens it took; 0 or more.
    """

    text: str
    tokens: int


@dataclass(frozen=True)
class Answer:
    """A whole answer.

    Args:
        text: the likeliest label, or what was written, without special tokens.
        finish: `stop` (the model's end token, a stop text, a constraint fulfilled, or a label) or
            `length`.
        prompt: the prompt with its version (`name@3`); None for the bare model.
        probabilities: of every choice, calibrated; empty for free text.
        prompt_tokens: positions before the answer, vectors included.
        completion_tokens: tokens written; those of the label where choices were scored.
        cached_tokens: how many of `prompt_tokens` were known, or computed for another request.
    """

    text: str
    finish: Literal["stop", "length"]
    prompt: str | None
    probabilities: Mapping[str, float]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
