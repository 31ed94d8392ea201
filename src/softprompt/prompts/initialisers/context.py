"""Real text: demonstrations from the training rows, or a document (CT-KV, Lu et al. 2025, arXiv
2507.04221)."""

from __future__ import annotations

from torch import Tensor

from softprompt.errors import UsageError
from softprompt.locale import _
from softprompt.prompts.initialisers import INITIALISERS, READING_TEXT, SHOWING_ROWS, Request

__all__ = ["context"]


@INITIALISERS.register("context")
def context(request: Request) -> Tensor:
    """The tokens of demonstrations, one a vector, as many as the prompt has places.

    At depth `kv` the prompt starts as the keys and values of that text. The first demonstration is
    the one that is cut where they do not fit; `request.made_of` notes which places were made of
    which row, so that a row need not see itself, or one that reads the same, while it is trained on
    (leave-one-out). Where the user gives a text, it takes the demonstrations' place, from its
    beginning.

    Raises:
        UsageError: there are fewer tokens than the prompt has places.
    """
    if request.text is not None:
        ids = request.backbone.encode(request.text)
        if len(ids) < request.length:
            raise _too_short(
                _(
                    "The text has {tokens} tokens, and the prompt has {places} places to fill "
                    "with them."
                ),
                len(ids),
                request.length,
            )
        return request.rows(ids[: request.length])
    taken: list[tuple[int, list[int]]] = []
    missing = request.length
    for row in request.demonstrated():
        if missing <= 0:
            break
        ids = request.backbone.encode(request.demonstrations(row))[-missing:]
        taken.insert(0, (row, ids))
        missing -= len(ids)
    if missing > 0:
        raise _too_short(
            _(
                "The training rows have {tokens} tokens, and the prompt has {places} places to "
                "fill with them."
            ),
            request.length - missing,
            request.length,
        )
    place = 0
    for row, ids in taken:
        for alike in request.alike(row):
            before = request.made_of.get(alike, ())
            request.made_of[alike] = (*before, *range(place, place + len(ids)))
        place += len(ids)
    return request.rows([token for _row, ids in taken for token in ids])


def _too_short(message: str, tokens: int, places: int) -> UsageError:
    return UsageError(
        message.format(tokens=tokens, places=places),
        _("Choose a smaller --length, or another initialisation."),
    )


SHOWING_ROWS.add("context")
READING_TEXT.add("context")
