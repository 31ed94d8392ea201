"""How the sections of a row become an example, for each kind of backbone.

    continued          [ context ][ trunk ][ answer ]                         decoders
    encoder_decoder    encoder: [ up to the last text, end ]  decoder: [ start, rest ][ answer ]
    pooled             [ opening token, text and prompt, end ] -> head        encoder classifiers

It knows ids and their order; tokenizers and placements are the layout's matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from softprompt.errors import UsageError
from softprompt.locale import _
from softprompt.prompts.depths import Depth
from softprompt.prompts.example import Example

if TYPE_CHECKING:
    from softprompt.backbones import Backbone

__all__ = ["FORMS", "Form", "Section"]

Answers = tuple[tuple[int, ...], ...]


class Section(NamedTuple):
    """A part of an arranged row.

    Args:
        ids: its tokens; -1 - k for prompt vector k.
        kind: `text`, `slot` or `opening`.
    """

    ids: list[int]
    kind: str


Form = Callable[[Sequence[Section], Answers, "Backbone", Depth], Example]


def _continued(
    sections: Sequence[Section], answers: Answers, backbone: Backbone, depth: Depth
) -> Example:
    """What stands before the first vector is the context, the rest the trunk."""
    ids = _joined(sections)
    if ids and ids[-1] < 0 and not depth.predicts:
        ids = _ending_in_a_token(ids)
    first = next((i for i, token in enumerate(ids) if token < 0), max(len(ids) - 1, 0))
    return Example(tuple(ids[:first]), tuple(ids[first:]) or (backbone.eos,), answers)


def _encoder_decoder(
    sections: Sequence[Section], answers: Answers, backbone: Backbone, depth: Depth
) -> Example:
    """The encoder reads up to the last text; vectors behind it stand in the decoder.

    So what is nearest to the answer stands behind the token that the decoder starts with, and a
    `suffix` prompt leaves the encoder alone: what it makes of the text is the context.
    """
    texts = [number for number, section in enumerate(sections) if section.kind == "text"]
    border = texts[-1] + 1 if texts else 0
    read = (*_joined(sections[:border]), *backbone.closing)
    begun = [backbone.start, *_joined(sections[border:])]
    if begun[-1] < 0 and not depth.predicts:
        begun = _ending_in_a_token(begun)
    if any(token < 0 for token in read):
        return Example((), tuple(begun), answers, encoder=read)
    return Example(read, tuple(begun), answers)


def _pooled(
    sections: Sequence[Section], answers: Answers, backbone: Backbone, depth: Depth
) -> Example:
    """All is read at once, and the answer is read from the opening token, wherever it stands."""
    ids = (*_joined(sections), *backbone.closing)
    before = 0
    for section in sections:
        if section.kind == "opening":
            break
        before += len(section.ids)
    return Example((), ids, answers, pool=before)


FORMS: Mapping[str, Form] = {
    "continued": _continued,
    "encoder_decoder": _encoder_decoder,
    "pooled": _pooled,
}
"""By `Backbone.form`."""


def _joined(sections: Sequence[Section]) -> list[int]:
    return [token for section in sections for token in section.ids]


def _ending_in_a_token(ids: Sequence[int]) -> list[int]:
    """The same with the last real token at the end, so that something predicts what follows.

    Raises:
        UsageError: there is none.
    """
    real = [place for place, token in enumerate(ids) if token >= 0]
    if not real:
        raise UsageError(
            _("A prompt of depth deep or kv needs a token after it, and the row has none."),
            _("Put text into the template, or choose depth input."),
        )
    return [*ids[: real[-1]], *ids[real[-1] + 1 :], ids[real[-1]]]
