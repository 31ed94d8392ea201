"""A check at load that a model can be continued exactly from a cached context.

A model family that computes positions, masks or logits in a way of its own (ALiBi, recurrent
layers, an unknown logit scale) is found here, on a few tokens, before anything is trained on wrong
numbers. It knows nothing of why a family differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from softprompt.backbones.context import Context
from softprompt.errors import BackboneError
from softprompt.locale import _, mark

if TYPE_CHECKING:
    from softprompt.backbones.backbone import Backbone
    from softprompt.backbones.encoder_classifier import EncoderClassifier
    from softprompt.backbones.encoder_decoder import EncoderDecoder
    from softprompt.backbones.frozen import FrozenModel

__all__ = ["probe", "probe_encoder", "probe_encoder_decoder"]

_OF_DECODERS = mark("Choose a decoder with rotary or learned positions; see `softprompt models`.")
_OF_ENCODERS = mark("Choose an encoder of the BERT family; see `softprompt models` for others.")
_TOLERANCE = {torch.float32: 3e-4, torch.bfloat16: 4e-2, torch.float16: 1e-2}


@torch.no_grad()
def probe(backbone: Backbone) -> None:
    """Compares logits from cached contexts with those of one pass over each row's tokens.

    Two contexts of different length, so that one is padded, are continued by two tokens of a trunk
    and one of each of two branches: a model that counts distances or windows by where a token
    lies, not by its position, shows here.

    Raises:
        BackboneError: they differ by more than rounding, or the model cannot take a cache.
    """
    name = type(backbone.model).__name__
    try:
        whole_MV, parts_MV = _whole(backbone), _continued(backbone)
        _take_vectors(backbone)
    except (RuntimeError, TypeError, ValueError, AttributeError, LookupError) as error:
        raise BackboneError(
            _("{name} cannot continue from a cached context ({reason}).").format(
                name=name, reason=_reason(error)
            ),
            _(_OF_DECODERS),
        ) from error
    _compare(
        backbone,
        whole_MV,
        parts_MV,
        _(
            "{name} gives other logits from a cached context than in one pass (difference"
            " {difference} standard deviations)."
        ),
        _(_OF_DECODERS),
    )


_CONTEXTS = ((3, 4, 5), (6,))
_TRUNK, _BRANCHES = (7, 8), (9, 10)


def _whole(backbone: Backbone) -> torch.Tensor:
    """[M, V] of the trunk's tokens and the branches' of each context, by plain passes."""
    found = []
    for context in _CONTEXTS:
        ids = [[*context, *_TRUNK, branch] for branch in _BRANCHES]
        ids_KT = torch.tensor(ids, device=backbone.device) % backbone.vocabulary
        logits_KTV = backbone.model(input_ids=ids_KT).logits.float()
        found += [logits_KTV[0, len(context) : -1], logits_KTV[:, -1]]
    return torch.cat(found)


def _continued(backbone: Backbone) -> torch.Tensor:
    """[M, V] of the same tokens, from cached contexts."""
    device, new, trunk = backbone.device, (*_TRUNK, *_BRANCHES), len(_TRUNK)
    context = backbone.encode_context(
        [[token % backbone.vocabulary for token in row] for row in _CONTEXTS]
    )
    ids_RN = torch.tensor([new] * len(_CONTEXTS), device=device) % backbone.vocabulary
    offset_N = torch.tensor([*range(trunk), *[trunk] * len(_BRANCHES)], device=device)
    position_RN = context.lengths_B[:, None] + offset_N
    branch_N = torch.tensor([*[0] * trunk, *range(1, len(_BRANCHES) + 1)], device=device)
    hidden_MD = backbone.continue_from(
        context, backbone.embed(ids_RN), position_RN, branch_N.expand_as(ids_RN)
    )
    return backbone.logits(hidden_MD)


def _take_vectors(backbone: Backbone) -> None:
    """Passes a vector that is no token's; some models look for its token, and raise."""
    pair_2 = torch.tensor([3, 4], device=backbone.device) % backbone.vocabulary
    between_11D = backbone.embed(pair_2).mean(0)[None, None]
    place_11 = torch.zeros_like(pair_2[:1])[None]
    backbone.continue_from(
        Context.empty(1, backbone.device), between_11D, place_11, torch.zeros_like(place_11)
    )


def _reason(error: Exception) -> str:
    """The first line that an error says, or its kind where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


@torch.no_grad()
def probe_encoder_decoder(backbone: EncoderDecoder) -> None:
    """Compares logits of four answer tokens with the model's own, five tokens being read.

    Raises:
        BackboneError: they differ by more than rounding, or the model is of an unknown kind.
    """
    device = backbone.device
    read_1T = torch.arange(3, 8, device=device)[None] % backbone.vocabulary
    given_1N = torch.arange(5, 9, device=device)[None] % backbone.vocabulary
    given_1N[0, 0] = backbone.start
    position_1N = torch.arange(4, device=device)[None]
    whole_NV = backbone.model(input_ids=read_1T, decoder_input_ids=given_1N).logits[0].float()
    hidden_ND = backbone.continue_from(
        backbone.encode_context(read_1T.tolist()),
        backbone.embed(given_1N),
        position_1N,
        torch.zeros_like(position_1N),
    )
    _compare(
        backbone,
        whole_NV,
        backbone.logits(hidden_ND),
        _(
            "{name} gives other logits than the layers of the T5 family (difference {difference}"
            " standard deviations)."
        ),
        _("Choose T5, mT5, umT5, Flan-T5 or ByT5; see `softprompt models` for others."),
    )


@torch.no_grad()
def probe_encoder(backbone: EncoderClassifier) -> None:
    """Compares hidden states of seven tokens with those of the same as embeddings, padded.

    Raises:
        BackboneError: they differ by more than rounding, or the model takes no embeddings.
    """
    device = backbone.device
    ids_1N = torch.arange(3, 10, device=device)[None] % backbone.vocabulary
    name = type(backbone.model).__name__
    position_1N = torch.tensor([[*range(7), -1, -1]], device=device)
    try:
        embeds_1ND = torch.cat([backbone.embed(ids_1N), backbone.embed(ids_1N[:, :2])], 1)
        body = backbone.model.base_model
        own_ND = body(input_ids=ids_1N).last_hidden_state[0].float()
        mine_ND = backbone.continue_from(
            Context.empty(1, device), embeds_1ND, position_1N, torch.zeros_like(position_1N)
        )[:7].float()
    except (RuntimeError, TypeError, ValueError, AttributeError, LookupError) as error:
        raise BackboneError(
            _("{name} cannot be used as an encoder ({reason}).").format(
                name=name, reason=_reason(error)
            ),
            _(_OF_ENCODERS),
        ) from error
    _compare(
        backbone,
        own_ND,
        mine_ND,
        _(
            "{name} gives other hidden states for embeddings than for tokens (difference"
            " {difference} standard deviations)."
        ),
        _(_OF_ENCODERS),
    )


def _compare(
    backbone: FrozenModel, one: torch.Tensor, other: torch.Tensor, text: str, hint: str
) -> None:
    """Refuses a model by which two tensors [M, X] differ that should be the same.

    The root mean square of the worst row counts: of many rounded numbers, the one that is farthest
    off tells less. In half precision it is the last of the worse half of the rows, since rounding
    sends some tokens of a mixture to another expert; what is wrong with padding or branches
    concerns half of the rows.

    Raises:
        BackboneError: they differ by more than rounding, in standard deviations.
    """
    rows_M = (one - other).square().mean(-1).sqrt().sort(descending=True).values
    judged = 0 if backbone.compute_dtype is torch.float32 else len(rows_M) // 2 - 1
    # A row that is not finite stands first.
    off = rows_M[judged] if rows_M.isfinite().all() else rows_M[0]
    difference = float(off / one.std().clamp(min=1e-6))
    if not difference < _TOLERANCE.get(backbone.compute_dtype, 5e-2):
        told = text.format(name=type(backbone.model).__name__, difference=f"{difference:.2g}")
        raise BackboneError(told, hint)
