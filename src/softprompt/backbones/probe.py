"""A check at load that a model can be continued exactly from a cached context.

A model family that computes positions, masks or logits in a way of its own (ALiBi, recurrent
layers, an unknown logit scale) is found here, on a few tokens, before anything is trained on wrong
numbers. It knows nothing of why a family differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from softprompt.errors import BackboneError

if TYPE_CHECKING:
    from softprompt.backbones.backbone import Backbone

__all__ = ["probe"]

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
            f"{name} cannot continue from a cached context ({str(error).splitlines()[0]}).",
            "Choose a decoder with rotary or learned positions; see `softprompt models`.",
        ) from error
    spread = whole_TV.std().clamp(min=1e-6)
    difference = float((whole_TV - parts_TV).abs().max() / spread)
    if not difference < _TOLERANCE.get(backbone.compute_dtype, 1e-1):
        raise BackboneError(
            f"{name} gives other logits from a cached context than in one pass "
            f"(difference {difference:.2g} standard deviations).",
            "Choose a decoder with rotary or learned positions; see `softprompt models`.",
        )
