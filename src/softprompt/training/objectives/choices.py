"""The probability of the right choice among all choices: what classification is scored by."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from softprompt.inference.continuation import Continuation
from softprompt.prompts import Example, Scoring
from softprompt.training.objectives import OBJECTIVES

__all__ = ["Choices", "WholeChoices"]


class Choices:
    """Cross-entropy of the softmax over the choices' summed log-probabilities.

    The choices are read until they differ: where they do in their first token, a row has no answer
    tokens to compute, and one prediction tells them all.

    A small share of the language-model loss of the right answer goes in, so that the answer is
    also what the model would write when it generates.
    """

    answers: Literal["own", "choices"] = "choices"
    scoring: Scoring = "distinct"
    share = 0.1

    def __call__(self, tokens_M: Tensor, what: Continuation, gold_R: Tensor) -> Tensor:
        """[R] the loss of each row."""
        scores_RC = what.per_answer(tokens_M).view(len(gold_R), -1)
        right_R = torch.nn.functional.cross_entropy(scores_RC, gold_R, reduction="none")
        written_R = -scores_RC.gather(1, gold_R[:, None])[:, 0]
        return right_R + self.share * written_R

    def weight(self, example: Example) -> int:
        """Every row counts the same."""
        return 1


class WholeChoices(Choices):
    """The same with all tokens of each choice, the end token included."""

    scoring: Scoring = "whole"


OBJECTIVES.register("choices")(Choices())
OBJECTIVES.register("whole_choices")(WholeChoices())
