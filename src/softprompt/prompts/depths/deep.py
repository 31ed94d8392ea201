"""Fresh vectors at every layer: P-tuning v2 (Liu et al. 2022, arXiv 2110.07602), deep visual prompt
tuning (Jia et al. 2022, arXiv 2203.12119)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from softprompt.prompts.depths import DEPTHS, Entering

if TYPE_CHECKING:
    from softprompt.backbones import Backbone

__all__ = ["Deep"]


class Deep:
    """One vector [D] for each place and layer: x_l[p] = V_l[p] is what comes into layer l there.

    What a layer leaves at the prompt's places is dropped, and the next layer gets its own vectors.
    So none of these places can predict: what one has read of the text would be dropped with it. A
    suffix stands before the last token of the text, which predicts, and keeps the cached context of
    the tokens before.

    In the artifact: `deep` [L, P, D], or `deep.0`, `deep.1`, ... of several slots.
    """

    computed = True
    predicts = False
    rate = 1.0

    def check(self, backbone: Backbone) -> None:
        """Refuses a backbone whose layers are not found (BackboneError)."""
        backbone.decoder_layers()

    def width(self, backbone: Backbone) -> int:
        """L * D: a row holds the vectors of a place, the first layer's first."""
        return backbone.layers * backbone.hidden_size

    def start(self, embeds_PD: Tensor, backbone: Backbone, *, encoder: bool = False) -> Tensor:
        """[P, L * D] the hidden states that the embeddings have after the opening token."""
        inputs_LPD = backbone.layer_inputs(embeds_PD, encoder=encoder)
        inputs_LPD[0] = embeds_PD
        return inputs_LPD.transpose(0, 1).flatten(1).contiguous()

    def scale(self, start_PX: Tensor, backbone: Backbone) -> Tensor | None:
        """[L * D] the size of hidden states at each layer beside the embeddings'."""
        layers_PLD = start_PX.view(len(start_PX), -1, backbone.hidden_size)
        sizes_L = layers_PLD.square().mean((0, 2)).sqrt()
        # Vectors that begin as zeros have the size of embeddings to grow to.
        sizes_L = sizes_L.where(sizes_L > 0, torch.tensor(backbone.embedding_scale))
        return (sizes_L / sizes_L[0]).repeat_interleave(backbone.hidden_size)

    def enter(self, vectors_PX: Tensor, backbone: Backbone) -> Entering:
        """The first layer's vectors among the embeddings, the others into their layers."""
        layers_LPD = vectors_PX.view(len(vectors_PX), -1, backbone.hidden_size).transpose(0, 1)
        return Entering(layers_LPD[0], layers_LPD[1:])

    def tensors(
        self, vectors_PX: Tensor, lengths: Sequence[int], backbone: Backbone
    ) -> dict[str, Tensor]:
        """`deep`, or one tensor a slot."""
        layers_LPD = vectors_PX.view(len(vectors_PX), -1, backbone.hidden_size).transpose(0, 1)
        parts = [part.contiguous() for part in torch.split(layers_LPD, list(lengths), 1)]
        if len(parts) == 1:
            return {"deep": parts[0]}
        return {f"deep.{index}": part for index, part in enumerate(parts)}

    def lengths(self, tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
        """Places of each slot."""
        return tuple(tensors[name].shape[1] for name in self._names(tensors))

    def vectors(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """[P, L * D] the vectors of all slots, in order."""
        layers_LPD = torch.cat([tensors[name] for name in self._names(tensors)], 1)
        return layers_LPD.transpose(0, 1).flatten(1).contiguous()

    def _names(self, tensors: Mapping[str, Tensor]) -> list[str]:
        return ["deep"] if len(tensors) == 1 else [f"deep.{i}" for i in range(len(tensors))]


DEPTHS.register("deep")(Deep())
