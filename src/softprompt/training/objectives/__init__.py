"""What training minimises: one file an objective.

An objective turns log-probabilities of answer tokens into a loss. It says which answers it wants to
see of each row, and knows nothing of models or prompts. Losses come row by row, so that the rows of
several prompts can be told apart and a batch can be cut into parts.

Shapes: R rows, M answer tokens, A answers over all rows, C choices.
"""

from __future__ import annotations

from typing import Literal, Protocol

from torch import Tensor

from softprompt.inference.continuation import Continuation
from softprompt.locale import mark
from softprompt.prompts import Example, Scoring
from softprompt.registry import Registry, discover

__all__ = ["OBJECTIVES", "Objective"]


class Objective(Protocol):
    """What an objective has to offer."""

    answers: Literal["own", "choices"]
    """Whether a row comes with its own answer or with every choice."""
    scoring: Scoring
    """What has been trained of each choice, so that the prompt is scored by that (see `Layout`)."""

    def __call__(self, tokens_M: Tensor, what: Continuation, gold_R: Tensor) -> Tensor:
        """The loss [R] of each row; a batch's loss is their sum over the rows' weights.

        Args:
            tokens_M: [M] log-probability of every answer token.
            what: which answer each token belongs to.
            gold_R: [R] place of the right choice among a row's choices.
        """
        ...

    def weight(self, example: Example) -> int:
        """How much a row counts."""
        ...


OBJECTIVES: Registry[Objective] = Registry(mark("objective"))
discover(__name__, list(__path__))
