"""Any torch module as a backbone: inputs become a sequence of vectors, and that becomes outputs.

    inputs -> embed -> [ T vectors of D numbers ]     vectors of a prompt before or after them
    [ P + T vectors ] -> forward -> outputs

The module stays frozen. What inputs and outputs are is the user's matter; this file knows rows of
vectors and nothing of how prompts are trained.

Shapes: B inputs, K prompts, R = B * K rows (row b * K + k has input b and prompt k), T vectors of
an input, P vectors of a prompt, S = P + T of the longest row, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from softprompt.backbones.fingerprint import module_fingerprint
from softprompt.backbones.frozen import Identity
from softprompt.errors import BackboneError
from softprompt.locale import _

__all__ = ["Adapter", "InputVocabulary", "as_kept"]

Embed = Callable[[Any], Tensor | Sequence[Tensor]]
Forward = Callable[[Tensor, Tensor], Tensor]


def as_kept(values: Any) -> Any:
    """Inputs or targets by place: a table's column, whose rows have names of their own, as an
    array, and an array of anything but numbers as a list."""
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    if isinstance(values, np.ndarray) and values.dtype.kind not in "biufc":
        return list(values)
    return values


class Adapter:
    """A frozen module that takes vectors. Give two functions, or override the methods.

    Args:
        module: whose weights stay as they are; it is put in eval mode.
        embed: from B inputs to their vectors: a tensor [B, T, D], or B tensors [T_b, D]. The inputs
            are a tensor, an array of numbers or a list, as they are given to it.
        forward: from vectors [R, S, D] and a mask [R, S] (False for padding, which is zeros behind
            a row's last vector) to outputs, R of them along the first axis.
        name: what the module is called in artifacts; its class's name when absent.

    Raises:
        BackboneError: `module` is none.
    """

    def __init__(
        self,
        module: nn.Module,
        embed: Embed | None = None,
        forward: Forward | None = None,
        name: str = "",
    ) -> None:
        if not isinstance(module, nn.Module):
            raise BackboneError(
                _("Adapter takes a torch module; {kind} is given.").format(
                    kind=type(module).__name__
                ),
                _("Write a function as the forward of an nn.Module."),
            )
        self.module = module.eval().requires_grad_(False)
        self._embed, self._forward = embed, forward
        self.identity = Identity(
            name or type(module).__name__, None, module_fingerprint(module), ""
        )

    def embed(self, inputs: Any) -> Tensor | Sequence[Tensor]:
        """The vectors of B inputs: [B, T, D], or B times [T_b, D]."""
        if self._embed is None:
            raise self._lacking("embed")
        return self._embed(inputs)

    def forward(self, vectors_RSD: Tensor, mask_RS: Tensor) -> Tensor:
        """R outputs of rows of vectors."""
        if self._forward is None:
            raise self._lacking("forward")
        return self._forward(vectors_RSD, mask_RS)

    def _lacking(self, function: str) -> BackboneError:
        return BackboneError(
            _("The adapter of {name} has no function `{function}`.").format(
                name=self.identity.name, function=function
            ),
            _("Give Adapter(module, embed, forward), or override both."),
        )

    def embedded(self, inputs: Any) -> list[Tensor]:
        """The vectors of each input, B times [T_b, D], without gradients.

        Raises:
            BackboneError: what `embed` returns is not that.
        """
        inputs = as_kept(inputs)
        with torch.no_grad():
            found = self.embed(inputs)
        rows = [] if found is None else list(found)
        counted = isinstance(inputs, Tensor | np.ndarray | list)
        if rows and counted and len(rows) != len(inputs):
            raise BackboneError(
                _("`embed` of {name} gives {rows} rows for {n} inputs.").format(
                    name=self.identity.name, rows=len(rows), n=len(inputs)
                ),
                _("Keep the inputs along the first axis."),
            )
        good = bool(rows) and all(isinstance(row, Tensor) and row.ndim == 2 for row in rows)
        if not good or len({row.shape[1] for row in rows}) != 1:
            shapes: Any = [list(getattr(row, "shape", ())) for row in rows[:3]]
            raise BackboneError(
                _(
                    "`embed` of {name} gives rows of shapes {shapes}; a sequence of vectors [T, D]"
                    " is needed for each input, D the same for all."
                ).format(name=self.identity.name, shapes=shapes or type(found).__name__),
                _("For inputs of one vector each, return x[:, None]."),
            )
        return rows

    def run(
        self, rows: Sequence[Tensor], prompts: Sequence[Tensor] = (), before: Sequence[int] = ()
    ) -> Tensor:
        """R outputs: of each row with each prompt, differentiable in the prompts.

        Args:
            rows: vectors of B inputs, as `embedded` gives them.
            prompts: [P_k, D] each; none runs the rows as they are.
            before: how many vectors of each prompt stand before the input; the others follow it.

        Raises:
            BackboneError: what `forward` returns is no output for each row.
        """
        table_VD = torch.cat([*prompts, *rows, rows[0].new_zeros(1, rows[0].shape[1])])
        counts = [len(vectors_PD) for vectors_PD in prompts]
        starts = [sum(counts[:k]) for k in range(len(counts))]
        places: list[list[int]] = []
        at = sum(counts)
        for row in rows:
            own = [*range(at, at + len(row))]
            at += len(row)
            for start, count, border in zip(starts, counts, before, strict=True):
                head = [*range(start, start + border)]
                places.append([*head, *own, *range(start + border, start + count)])
            if not prompts:
                places.append(own)
        width, last = max(map(len, places)), len(table_VD) - 1
        device = table_VD.device
        index_RS = torch.tensor([[*r, *[last] * (width - len(r))] for r in places], device=device)
        # `index_select` adds gradients in one order; indexing adds them as threads come.
        vectors_RSD = table_VD.index_select(0, index_RS.flatten()).view(*index_RS.shape, -1)
        outputs = self.forward(vectors_RSD, index_RS != last)
        if not isinstance(outputs, Tensor) or not outputs.ndim or len(outputs) != len(places):
            raise BackboneError(
                _(
                    "`forward` of {name} gives {shape} for {n} rows; an output for each row is"
                    " needed along the first axis."
                ).format(
                    name=self.identity.name,
                    shape=list(getattr(outputs, "shape", [type(outputs).__name__])),
                    n=len(places),
                ),
                _("Return a tensor [R, ...]."),
            )
        return outputs


class InputVocabulary:
    """The vectors of some inputs in the place of a backbone's vocabulary, for initialisers.

    Args:
        rows: vectors of inputs, [T_b, D] each.
        least: words to have at least; the vectors are repeated where there are fewer.
    """

    def __init__(self, rows: Sequence[Tensor], least: int) -> None:
        self._table_VD = torch.cat(list(rows)).detach()
        self.device = self._table_VD.device
        self.hidden_size = int(self._table_VD.shape[1])
        self.vocabulary = max(len(self._table_VD), least)
        self.tokenizer = SimpleNamespace(all_special_ids=())

    @property
    def embedding_scale(self) -> float:
        """Root mean square of the vectors' numbers.

        Raises:
            BackboneError: all of them are 0, so that there is no size to train a prompt at.
        """
        found = float(self._table_VD.float().square().mean().sqrt())
        if not found:
            raise BackboneError(
                _("`embed` gives nothing but zeros for the inputs."),
                _("Give the module's vectors of the inputs."),
            )
        return found

    def embed(self, ids: Tensor) -> Tensor:
        """[n, D] the vectors of those numbers."""
        return self._table_VD[ids % len(self._table_VD)]
