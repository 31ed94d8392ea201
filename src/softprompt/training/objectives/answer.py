"""The likelihood of each row's own answer: the language-model objective."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from softprompt.inference.continuation import Continuation
from softprompt.training.objectives import OBJECTIVES

__all__ = ["Answer"]


class Answer:
    """Mean cross-entropy over the answer tokens of a batch, the end token included."""

    answers: Literal["own", "choices"] = "own"

    def __call__(self, tokens_M: Tensor, what: Continuation, gold_B: Tensor) -> Tensor:
        """Minus the mean log-probability; the gold places are not used."""
        return -tokens_M.mean()


OBJECTIVES.register("answer")(Answer())
