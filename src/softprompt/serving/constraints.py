"""Answers that must have a form: which tokens may come next.

The form is followed by llguidance, over any tokenizer of Transformers. It does not know the model.

Shapes: V vocabulary.
"""

from __future__ import annotations

import json
import re
from functools import cached_property
from importlib.util import find_spec
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from softprompt.errors import UsageError
from softprompt.serving.requests import Constraint

__all__ = ["SPACE", "Constraints", "Follower"]

SPACE = r"[ \n]?"
"""One white space may stand before what a constraint describes: words' tokens begin with it."""

FUEL, STEP_FUEL = 1_000_000, 50_000
"""Work that beginning a constraint and one token of it may take; some milliseconds each."""


class Constraints:
    """Forms over one tokenizer.

    Args:
        tokenizer: a fast tokenizer of Transformers.
        vocabulary: logits V of the model, which may be more than the tokenizer's tokens.
        eos: the token that ends an answer.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, eos: int) -> None:
        self._tokenizer, self._vocabulary, self._eos = tokenizer, vocabulary, eos
        self._lock = Lock()

    @cached_property
    def _engine(self) -> Any:
        if find_spec("llguidance") is None:
            raise UsageError(
                "Answers of a given form need llguidance, which is not installed.",
                "Run: pip install 'softprompt[serve]'",
            )
        import llguidance.hf

        return llguidance.hf.from_tokenizer(
            self._tokenizer, n_vocab=self._vocabulary, eos_token=self._eos
        )

    def follow(self, constraint: Constraint) -> Follower:
        """Begins an answer; one white space may stand before what the constraint describes.

        Raises:
            UsageError: the constraint cannot be followed; the message says why.
        """
        with self._lock:
            engine = self._engine
            from llguidance import LLMatcher, LLParserLimits

            limits = LLParserLimits(
                initial_lexer_fuel=FUEL, step_lexer_fuel=STEP_FUEL, verbose_errors=False
            )
            try:
                matcher = LLMatcher(engine, _grammar(constraint), limits=limits)
            except RecursionError:
                problem = "it is nested too deeply"
            else:
                problem = matcher.get_error()
        if problem:
            raise UsageError(
                f"The constraint {constraint.kind} cannot be followed: {problem.splitlines()[0]}",
                "Give a list of texts, a regular expression, or a JSON schema.",
            )
        return Follower(matcher, self._vocabulary)


class Follower:
    """One answer on its way.

    Args:
        matcher: of llguidance, at the answer's beginning.
        vocabulary: V.
    """

    def __init__(self, matcher: Any, vocabulary: int) -> None:
        self._matcher, self._vocabulary = matcher, vocabulary

    def restrict(self, logits_V: Tensor) -> None:
        """Takes away, in place, the logits of tokens that may not come next.

        Raises:
            UsageError: the constraint is more work than a token is worth.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        # Not by llguidance.torch, which compiles a kernel at its first use: seconds in which the
        # engine answers nobody, on a machine that has a compiler at all.
        allowed = np.zeros(len(logits_V), bool)
        known = min(len(logits_V), self._vocabulary)
        allowed[:known] = np.unpackbits(bits, count=known, bitorder="little")
        logits_V.masked_fill_(~torch.from_numpy(allowed).to(logits_V.device), -torch.inf)

    def take(self, token: int) -> bool:
        """Notes the next token; returns whether the answer is whole.

        Raises:
            UsageError: the constraint is more work than a token is worth, or nothing fulfils it.
        """
        self._matcher.consume_token(token)
        self._check()
        return bool(self._matcher.is_stopped())

    def end(self) -> None:
        """The model ends its answer.

        Raises:
            UsageError: the constraint is not fulfilled.
        """
        if not (self._matcher.is_stopped() or self._matcher.is_accepting()):
            raise UsageError(
                "The model ends its answer before it fulfils the constraint.",
                "Give one that some text fulfils.",
            )

    def _check(self) -> None:
        problem = self._matcher.get_error()
        if problem:
            raise UsageError(
                f"The constraint cannot be followed to its end: {problem.splitlines()[0]}",
                "Give a simpler one.",
            )


def _grammar(constraint: Constraint) -> str:
    """The form in llguidance's own notation.

    Raises:
        UsageError: the value does not fit the kind.
    """
    from llguidance import LLMatcher

    kind, value = constraint.kind, constraint.value
    if kind == "json":
        if not isinstance(value, dict):
            raise UsageError("A JSON constraint needs a schema.", "Give a JSON schema object.")
        # Free white space between tokens is a trap for a small model: it may write nothing else.
        spacing = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
        schema = json.dumps({"x-guidance": spacing, **value})
        return str(LLMatcher.grammar_from_lark(f"start: /{SPACE}/ value\nvalue: %json {schema}"))
    if kind == "choice":
        if isinstance(value, str) or not isinstance(value, tuple) or not value:
            raise UsageError("A choice needs texts to choose among.", "Give a list of texts.")
        value = "|".join(re.escape(text) for text in value)
    if not isinstance(value, str):
        raise UsageError("A regular expression is a text.", "Give it in quotes.")
    try:
        return str(LLMatcher.grammar_from_regex(f"{SPACE}({value})"))
    except ValueError as error:
        raise UsageError(
            f"The regular expression {value!r} cannot be followed: {error}", "Correct it."
        ) from error
