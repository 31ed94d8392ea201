"""The likelihood of each row's own answer: the language-model objective."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from softprompt.inference.continuation import Continuation
from softprompt.prompts import Example, Scoring
from softprompt.training.objectives import OBJECTIVES

__all__ = ["Answer"]


class Answer:
    """Mean cross-entropy over the answer tokens of a batch, the end token included."""

    answers: Literal["own", "choices"] = "own"
    scoring: Scoring = "whole"

    def __call__(self, tokens_M: Tensor, what: Continuation, gold_R: Tensor) -> Tensor:
        """[R] minus the log-probability of each row's answer; the gold places are not used."""
        return -what.per_answer(tokens_M)

    def weight(self, example: Example) -> int:
        """Tokens of the answer, so that every token of a batch counts the same."""
        return len(example.answers[0])


OBJECTIVES.register("answer")(Answer())
