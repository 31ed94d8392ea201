"""Vectors that take the places of hidden states on their way into the layers of a model.

It knows places and layers, not what the vectors mean or where they come from.

Shapes: L layers, W places, M positions of a pass, D hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.errors import BackboneError
from softprompt.locale import _

__all__ = ["Inserted", "layers_of"]


@dataclass(frozen=True)
class Inserted:
    """What comes into the layers after the first, at some places.

    Args:
        places_W: flat places (r * N + n), none twice.
        layers_LWD: [L - 1, W, D], of the second layer and those after it.
    """

    places_W: Tensor
    layers_LWD: Tensor

    def into(self, layer: int, hidden_MD: Tensor) -> Tensor:
        """What layer number `layer` (0 for the first) gets in place of what comes to it."""
        if layer == 0:
            return hidden_MD
        # Layers of a large model may lie on several devices.
        put_WD = self.layers_LWD[layer - 1].to(hidden_MD)
        return hidden_MD.index_copy(0, self.places_W.to(hidden_MD.device), put_WD)

    @contextmanager
    def at(self, layers: Sequence[nn.Module], new: int) -> Iterator[None]:
        """Has the layers of a model get them, for passes of so many new positions a row.

        Args:
            layers: of the model, in order.
            new: positions N of a row; what a model pads behind them stays as it is.

        Raises:
            BackboneError: a layer gets fewer.
        """

        def hook(layer: int) -> Any:
            def change(module: nn.Module, args: Any, kwargs: Any) -> Any:
                hidden = args[0] if args else kwargs["hidden_states"]
                own = hidden[:, :new]
                if own.shape[1] < new:
                    raise BackboneError(
                        _("Layer {layer} of the model gets {n} positions of {all}.").format(
                            layer=layer, n=own.shape[1], all=new
                        ),
                        _("Use a prompt of depth input."),
                    )
                put = self.into(layer, own.flatten(0, 1)).view(own.shape)
                hidden = torch.cat([put, hidden[:, new:]], 1) if hidden.shape[1] > new else put
                if args:
                    return (hidden, *args[1:]), kwargs
                return args, {**kwargs, "hidden_states": hidden}

            return change

        handles = [
            module.register_forward_pre_hook(hook(layer), with_kwargs=True)
            for layer, module in enumerate(layers)
            if layer
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def layers_of(body: nn.Module, count: int) -> list[nn.Module] | None:
    """The layers of a model, in order; None where it does not keep them in one list.

    Of a module with several such lists (attentions, feed-forwards, ...) none has whole layers, and
    of two modules with one each it is not known which reads the text.
    """
    found = list(_lists(body, count))
    return list(found[0]) if len(found) == 1 else None


def _lists(module: nn.Module, count: int) -> Iterator[nn.ModuleList]:
    """The lists of so many modules, without what lies inside or beside one."""
    lists = [m for m in module.children() if isinstance(m, nn.ModuleList) and len(m) == count]
    yield from lists
    if not lists:
        for child in module.children():
            yield from _lists(child, count)
