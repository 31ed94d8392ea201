"""The probability of the right choice among all choices: what classification is scored by."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from softprompt.inference.continuation import Continuation
from softprompt.training.objectives import OBJECTIVES

__all__ = ["Choices"]


class Choices:
    """Cross-entropy of the softmax over the choices' summed log-probabilities.

    A small share of the language-model loss of the right answer goes in, so that the answer is
    also what the model would write when it generates.
    """

    answers: Literal["own", "choices"] = "choices"
    share = 0.1

    def __call__(self, tokens_M: Tensor, what: Continuation, gold_B: Tensor) -> Tensor:
        """Mean over the batch's rows."""
        scores_A = torch.zeros(what.answers, dtype=tokens_M.dtype, device=tokens_M.device)
        scores_BC = scores_A.index_add(0, what.answer_M, tokens_M).view(len(gold_B), -1)
        right = torch.nn.functional.cross_entropy(scores_BC, gold_B)
        written = -scores_BC.gather(1, gold_B[:, None]).mean()
        return right + self.share * written


OBJECTIVES.register("choices")(Choices())
