"""What training minimises: one file an objective.

An objective turns log-probabilities of answer tokens into a loss. It says which answers it wants to
see of each row, and knows nothing of models or prompts.
"""

from __future__ import annotations

from typing import Literal, Protocol

from torch import Tensor

from softprompt.inference.continuation import Continuation
from softprompt.registry import Registry, discover

__all__ = ["OBJECTIVES", "Objective"]


class Objective(Protocol):
    """What an objective has to offer."""

    answers: Literal["own", "choices"]
    """Whether a row comes with its own answer or with every choice."""

    def __call__(self, tokens_M: Tensor, what: Continuation, gold_B: Tensor) -> Tensor:
        """The loss, a scalar.

        Args:
            tokens_M: [M] log-probability of every answer token.
            what: which answer each token belongs to.
            gold_B: [B] place of the right choice among a row's choices.
        """
        ...


OBJECTIVES: Registry[Objective] = Registry("objective")
discover(__name__, list(__path__))
