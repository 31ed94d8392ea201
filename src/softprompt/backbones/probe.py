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
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 8e-2, torch.float16: 2e-2}


@torch.no_grad()
def probe(backbone: Backbone) -> None:
    """Compares cached with uncached logits for seven tokens, three of them as context.

    Raises:
        BackboneError: they differ by more than rounding, or the model cannot take a cache.
    """
    device = backbone.device
    ids_1T = torch.arange(3, 10, device=device)[None] % backbone.vocabulary
    name = type(backbone.model).__name__
    try:
        whole_TV = backbone.model(input_ids=ids_1T).logits[0, 3:].float()
        context = backbone.encode_context([ids_1T[0, :3].tolist()])
        position_1N = torch.arange(3, 7, device=device)[None]
        hidden_ND = backbone.continue_from(
            context, backbone.embed(ids_1T[:, 3:]), position_1N, torch.zeros_like(position_1N)
        )
        parts_TV = backbone.logits(hidden_ND)
    except (RuntimeError, TypeError, ValueError, AttributeError, KeyError) as error:
        raise BackboneError(
            _("{name} cannot continue from a cached context ({reason}).").format(
                name=name, reason=str(error).splitlines()[0]
            ),
            _(_OF_DECODERS),
        ) from error
    _compare(
        backbone,
        whole_TV,
        parts_TV,
        _(
            "{name} gives other logits from a cached context than in one pass (difference"
            " {difference} standard deviations)."
        ),
        _(_OF_DECODERS),
    )


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
    embeds_1ND = torch.cat([backbone.embed(ids_1N), backbone.embed(ids_1N[:, :2])], 1)
    position_1N = torch.tensor([[*range(7), -1, -1]], device=device)
    try:
        body = backbone.model.base_model
        own_ND = body(input_ids=ids_1N).last_hidden_state[0].float()
        mine_ND = backbone.continue_from(
            Context.empty(1, device), embeds_1ND, position_1N, torch.zeros_like(position_1N)
        )[:7].float()
    except (RuntimeError, TypeError, ValueError, AttributeError, KeyError) as error:
        raise BackboneError(
            _("{name} cannot be used as an encoder ({reason}).").format(
                name=name, reason=str(error).splitlines()[0]
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
    """Refuses a model by which two tensors differ that should be the same.

    Raises:
        BackboneError: they differ by more than rounding, in standard deviations.
    """
    difference = float((one - other).abs().max() / one.std().clamp(min=1e-6))
    if not difference < _TOLERANCE.get(backbone.compute_dtype, 1e-1):
        told = text.format(name=type(backbone.model).__name__, difference=f"{difference:.2g}")
        raise BackboneError(told, hint)
