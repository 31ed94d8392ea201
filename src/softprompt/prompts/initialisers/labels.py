"""Embeddings of the answers' words, the rest from frequent vocabulary (Lester et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from softprompt.errors import UsageError
from softprompt.locale import _
from softprompt.prompts.initialisers import INITIALISERS, Request

__all__ = ["labels"]


@INITIALISERS.register("labels")
def labels(request: Request) -> Tensor:
    """One vector a label: the mean of its sub-token embeddings, nearest to the answer.

    Raises:
        UsageError: the task has no answer choices.
    """
    if not request.wordings:
        raise UsageError(
            _("The initialisation `labels` needs answer choices; this task generates free text."),
            _("Choose `vocabulary` or `text`."),
        )
    return request.filled(torch.stack([request.word(" " + word) for word in request.wordings]))
