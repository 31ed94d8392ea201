"""Keys and values at every layer: prefix tuning (Li & Liang 2021, arXiv 2101.00190)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from softprompt.prompts.depths import DEPTHS, Entering

if TYPE_CHECKING:
    from softprompt.backbones import Backbone

__all__ = ["KeysValues"]


class KeysValues:
    """A key and a value [J_l, d_l] for each place and layer, as the model caches them.

    Nothing is computed at the prompt's places: layers look there, and later tokens keep the
    positions that they would have after as many tokens. Rotary models cache turned keys, so a key
    means the same distance for every row where the prompt stands at the same position.

    In the artifact: `keys` and `values` [L, J, P, d], or `keys.0`, `values.0`, ... [J, P, d] where
    layers differ. Places of several slots follow one another; `slots` says how many each has.
    """

    computed = predicts = False
    rate = 1 / 30

    def check(self, backbone: Backbone) -> None:
        """Refuses a backbone whose layers take no keys and values (BackboneError)."""
        backbone.check_beside()

    def width(self, backbone: Backbone) -> int:
        """The keys and values of a place, layer after layer."""
        return sum(2 * heads * size for heads, size in backbone.key_shapes)

    def start(self, embeds_PD: Tensor, backbone: Backbone, *, encoder: bool = False) -> Tensor:
        """[P, X] the keys and values that the embeddings have after the opening token."""
        found = backbone.key_values(embeds_PD, encoder=encoder)
        return torch.cat([x.transpose(0, 1).flatten(1) for pair in found for x in pair], 1)

    def scale(self, start_PX: Tensor, backbone: Backbone) -> Tensor | None:
        """[X] the size of keys and of values at each layer beside the embeddings'."""
        embedding = max(backbone.embedding_scale, 1e-8)
        sizes = [
            (part.square().mean().sqrt().clamp(min=1e-8) / embedding).expand(part.shape[1])
            for part in torch.split(start_PX, self._widths(backbone), 1)
        ]
        return torch.cat(sizes)

    def enter(self, vectors_PX: Tensor, backbone: Backbone) -> Entering:
        """Nothing among the embeddings, keys and values [J, P, d] beside each layer."""
        parts = torch.split(vectors_PX, self._widths(backbone), 1)
        pairs = [
            (key.view(len(key), heads, size), value.view(len(value), heads, size))
            for (heads, size), key, value in zip(
                backbone.key_shapes, parts[::2], parts[1::2], strict=True
            )
        ]
        return Entering(None, None, tuple(pairs))

    def tensors(
        self, vectors_PX: Tensor, lengths: Sequence[int], backbone: Backbone
    ) -> dict[str, Tensor]:
        """`keys` and `values` where all layers have the same heads, else a pair a layer."""
        pairs = self.enter(vectors_PX, backbone).pairs
        keys, values = (
            [pair[part].transpose(0, 1).contiguous() for pair in pairs] for part in (0, 1)
        )
        if len(set(backbone.key_shapes)) == 1:
            found = {"keys": torch.stack(keys), "values": torch.stack(values)}
        else:
            found = {f"keys.{layer}": x for layer, x in enumerate(keys)}
            found |= {f"values.{layer}": x for layer, x in enumerate(values)}
        if len(lengths) > 1:
            found["slots"] = torch.tensor(list(lengths))
        return found

    def lengths(self, tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
        """Places of each slot."""
        if "slots" in tensors:
            return tuple(int(count) for count in tensors["slots"])
        return (self._by_layer(tensors, "keys")[0].shape[1],)

    def vectors(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """[P, X] the keys and values of all places."""
        layers = zip(
            self._by_layer(tensors, "keys"), self._by_layer(tensors, "values"), strict=True
        )
        return torch.cat([x.transpose(0, 1).flatten(1) for pair in layers for x in pair], 1)

    def _by_layer(self, tensors: Mapping[str, Tensor], name: str) -> list[Tensor]:
        if name in tensors:
            return list(tensors[name])
        count = sum(1 for key in tensors if key.startswith(f"{name}."))
        return [tensors[f"{name}.{layer}"] for layer in range(count)]

    def _widths(self, backbone: Backbone) -> list[int]:
        return [heads * size for heads, size in backbone.key_shapes for _ in range(2)]


DEPTHS.register("kv")(KeysValues())
