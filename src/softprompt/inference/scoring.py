"""Log-scores of answer choices for many rows, contexts encoded once and choices as branches.

It does not know where the vectors come from (a training run, an artifact, nowhere).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from softprompt.backbones import Backbone
from softprompt.inference.contexts import Contexts
from softprompt.inference.continuation import Continuation, log_scores
from softprompt.prompts import Example

__all__ = ["score_answers"]


@torch.no_grad()
def score_answers(
    backbone: Backbone,
    examples: Sequence[Example],
    vectors_PD: Tensor | None,
    contexts: Contexts | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """Summed log-probabilities [rows, answers] of each row's answers.

    Args:
        backbone: the frozen model.
        examples: rows with the same number of answers each.
        vectors_PD: [P, D] the prompt; None for rows without one.
        contexts: of these examples, where they are kept; else they are encoded on the way.
        progress: called with rows done and rows in all.
    """
    contexts = contexts or Contexts(backbone, examples)
    width = len(examples[0].answers) if examples else 0
    scores = np.zeros((len(examples), width))
    done = 0
    for number, rows in enumerate(contexts.buckets):
        # A bucket's branches need memory of their own; parts of it keep the peak low.
        for start in range(0, len(rows), _PART):
            members = range(start, min(start + _PART, len(rows)))
            picked = [rows[member] for member in members]
            what = Continuation.of([examples[row] for row in picked], backbone.device)
            context = contexts.select(number, members)
            result_A = log_scores(backbone, context, what, vectors_PD)
            scores[picked] = result_A.double().cpu().numpy().reshape(len(picked), width)
            done += len(picked)
            if progress:
                progress(done, len(examples))
    return scores


_PART = 64
