"""The vectors of another prompt: a warm start (Vu et al. 2022, SPoT, arXiv 2110.07904)."""

from __future__ import annotations

from torch import Tensor

from softprompt.errors import UsageError
from softprompt.locale import _
from softprompt.prompts.initialisers import INITIALISERS, TAKING_PROMPTS, Request

__all__ = ["prompt"]


@INITIALISERS.register("prompt")
def prompt(request: Request) -> Tensor:
    """The other prompt's vectors, cut or filled up to this length.

    Raises:
        UsageError: no prompt is given, or its vectors have another size.
    """
    if request.prompt is None:
        raise UsageError(
            _("The initialisation `prompt` needs a prompt to start from; none is given."),
            _("Add --set prompt.start=FOLDER."),
        )
    size = request.backbone.hidden_size
    sizes = {size, request.deepened(request.rows([0])).shape[1]}
    if request.prompt.shape[-1] not in sizes:
        raise UsageError(
            _(
                "The prompt to start from has vectors of {numbers} numbers; the backbone takes "
                "{sizes}."
            ).format(
                numbers=request.prompt.shape[-1],
                sizes=_(" or ").join(map(str, sorted(sizes))),
            ),
            _("Start from a prompt of the same backbone and depth, or of depth input."),
        )
    return request.filled(request.prompt.float())


TAKING_PROMPTS.add("prompt")
