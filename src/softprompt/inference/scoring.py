"""Log-scores of answer choices for many rows: contexts once, prompts as rows, choices as branches.

Shapes: n rows, K prompts, C answers to each row, P places of a prompt, X numbers
at each.

It does not know where the vectors come from (a training run, an artifact, nowhere).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from softprompt.backbones import Backbone, Context
from softprompt.inference.contexts import Contexts
from softprompt.inference.continuation import Continuation, log_scores
from softprompt.prompts import Example

__all__ = ["score_answers"]


@torch.no_grad()
def score_answers(
    backbone: Backbone,
    examples: Sequence[Example],
    prompts: Sequence[Tensor],
    contexts: Contexts | None = None,
    progress: Callable[[int, int], None] | None = None,
    depth: str = "input",
    seen: Callable[[Sequence[int], Context], None] | None = None,
) -> NDArray[np.float64]:
    """Summed log-probabilities [K, n, C] of the answers to each row, by each prompt.

    Args:
        backbone: the frozen model.
        examples: n rows with C answers each, laid out for the longest prompt.
        prompts: K times [P_k, X]; none scores the rows as they are, with K = 1.
        contexts: of these examples, where they are kept; else they are encoded on the way.
        progress: called with rows done and rows in all.
        depth: where the prompts enter.
        seen: called with places of rows and their contexts, as they are scored.
    """
    contexts = contexts or Contexts(backbone, examples)
    width = len(examples[0].answers) if examples else 0
    count = max(1, len(prompts))
    part = max(1, _ROWS // count)
    scores_KnC = np.zeros((count, len(examples), width))
    lengths = [len(vectors_PD) for vectors_PD in prompts]
    done = 0
    for number, rows in enumerate(contexts.buckets):
        # A bucket's rows need memory of their own; parts of it keep the peak low.
        for start in range(0, len(rows), part):
            members = range(start, min(start + part, len(rows)))
            picked = [rows[member] for member in members]
            what = Continuation.of(
                [examples[row] for row in picked], backbone.device, lengths, depth
            )
            context = contexts.select(number, members)
            if seen:
                seen(picked, context)
            result_A = log_scores(backbone, context, what, prompts)
            result_BKC = result_A.double().cpu().numpy().reshape(len(picked), count, width)
            scores_KnC[:, picked] = result_BKC.swapaxes(0, 1)
            done += len(picked)
            if progress:
                progress(done, len(examples))
    return scores_KnC


_ROWS = 64
