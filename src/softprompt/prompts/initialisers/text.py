"""Embeddings of a text, for example an instruction."""

from __future__ import annotations

from torch import Tensor

from softprompt.errors import UsageError
from softprompt.locale import _
from softprompt.prompts.initialisers import INITIALISERS, READING_TEXT, Request

__all__ = ["text"]


@INITIALISERS.register("text")
def text(request: Request) -> Tensor:
    """The text's tokens, one a vector; a shorter text is filled up in front, never repeated.

    Raises:
        UsageError: no text is given.
    """
    if not request.text:
        raise UsageError(
            _("The initialisation `text` needs a text; none is given."),
            _("Add --set prompt.text='Is the customer satisfied?' or choose `labels`."),
        )
    return request.filled(request.rows(request.backbone.encode(request.text)))


READING_TEXT.add("text")
