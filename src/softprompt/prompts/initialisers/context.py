"""Real text: demonstrations from the training rows (CT-KV, Lu et al. 2025, arXiv 2507.04221)."""

from __future__ import annotations

from torch import Tensor

from softprompt.errors import UsageError
from softprompt.prompts.initialisers import INITIALISERS, SHOWING_ROWS, Request

__all__ = ["context"]


@INITIALISERS.register("context")
def context(request: Request) -> Tensor:
    """The tokens of demonstrations, one a vector, as many as the prompt has places.

    At depth `kv` the prompt starts as the keys and values of that text. The first demonstration is
    the one that is cut where they do not fit; `request.made_of` notes which places were made of
    which row, so that a row need not see itself while it is trained on (leave-one-out).

    Raises:
        UsageError: the training rows have fewer tokens than the prompt has places.
    """
    taken: list[tuple[int, list[int]]] = []
    missing = request.length
    for row in request.demonstrated():
        if missing <= 0:
            break
        ids = request.backbone.encode(request.demonstrations(row))[-missing:]
        taken.insert(0, (row, ids))
        missing -= len(ids)
    if missing > 0:
        raise UsageError(
            f"The training rows have {request.length - missing} tokens, and the prompt has "
            f"{request.length} places to fill with them.",
            "Choose a smaller --length, or another initialisation.",
        )
    place = 0
    for row, ids in taken:
        request.made_of[row] = range(place, place + len(ids))
        place += len(ids)
    return request.rows([token for _, ids in taken for token in ids])


SHOWING_ROWS.add("context")
