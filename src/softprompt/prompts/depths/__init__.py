"""How deep the vectors enter: one file a depth.

A depth says which tensors a prompt has and where they enter the backbone: input embeddings, layer
inputs, keys and values. Everywhere between start and artifact a prompt is one matrix with a row for
each of its places; what a row holds is the depth's matter. It knows nothing of placement,
parametrisation or training.

Shapes: P places of a prompt, X numbers of a row, L layers, J key-value
heads, d head size, D hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from softprompt.locale import mark
from softprompt.registry import Registry, discover

if TYPE_CHECKING:
    from softprompt.backbones import Backbone

__all__ = ["DEPTHS", "Depth", "Entering"]


@dataclass(frozen=True)
class Entering:
    """What enters the backbone at the places of a prompt.

    Args:
        embeds_PD: among the input embeddings; None where nothing is computed there.
        layers_LPD: [L - 1, P, D] into the layers after the first; None where nothing does.
        pairs: keys and values [P, J, d] beside each layer; empty where there are none.
    """

    embeds_PD: Tensor | None
    layers_LPD: Tensor | None = None
    pairs: tuple[tuple[Tensor, Tensor], ...] = ()


class Depth(Protocol):
    """What a depth has to say."""

    @property
    def computed(self) -> bool:
        """Whether the prompt's places go through the layers."""
        ...

    @property
    def predicts(self) -> bool:
        """Whether the prompt's last place can predict what follows; else a token has to."""
        ...

    @property
    def rate(self) -> float:
        """What multiplies learning rates, so that one configured rate suits every depth."""
        ...

    def check(self, backbone: Backbone) -> None:
        """Refuses a backbone that it cannot enter.

        Raises:
            BackboneError: with the reason.
        """
        ...

    def width(self, backbone: Backbone) -> int:
        """Numbers X of a row."""
        ...

    def start(self, embeds_PD: Tensor, backbone: Backbone, *, encoder: bool = False) -> Tensor:
        """[P, X] a prompt that acts as these input embeddings do.

        Args:
            embeds_PD: the embeddings.
            backbone: that they enter.
            encoder: whether they stand in an encoder beside a decoder.
        """
        ...

    def scale(self, start_PX: Tensor, backbone: Backbone) -> Tensor | None:
        """[X] sizes of a row's numbers beside the embeddings', or None where they are all 1."""
        ...

    def enter(self, vectors_PX: Tensor, backbone: Backbone) -> Entering:
        """What enters where, differentiable."""
        ...

    def tensors(
        self, vectors_PX: Tensor, lengths: Sequence[int], backbone: Backbone
    ) -> dict[str, Tensor]:
        """The tensors of the artifact by name, for slots of so many places each."""
        ...

    def lengths(self, tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
        """Places of each slot."""
        ...

    def vectors(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """[P, X] what the artifact holds, all slots in order."""
        ...


DEPTHS: Registry[Depth] = Registry(mark("depth"))
discover(__name__, list(__path__))
