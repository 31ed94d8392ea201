"""The keys and values of a batch of contexts: what a frozen model knows before the prompt begins.

A context is a constant of the frozen model. This file holds and selects it; it does not know how
it was computed, where it is kept or who continues from it.

Shapes: B rows, H key-value heads, T tokens (the longest row; shorter rows are padded on the right),
d head size. One tensor per layer, since layers may differ in H and d.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["Context"]


@dataclass(frozen=True)
class Context:
    """Keys and values of `B` contexts, right-padded.

    Args:
        keys: one [B, H, T, d] per layer; empty where nothing stands before the prompt.
        values: the same for the values.
        lengths_B: [B] number of real tokens of each row.
        mapped: whether the tensors lie in a file that is mapped into memory.
        key_scales, value_scales: [B, H, T, 1] of contexts packed into whole numbers (see
            `backbones.packing`); empty else.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    lengths_B: Tensor
    mapped: bool = False
    key_scales: tuple[Tensor, ...] = ()
    value_scales: tuple[Tensor, ...] = ()

    @classmethod
    def empty(cls, rows: int, device: torch.device) -> Context:
        """A context of no tokens."""
        return cls((), (), torch.zeros(rows, dtype=torch.long, device=device))

    @classmethod
    def of(
        cls,
        parts: Mapping[str, tuple[Tensor, ...]],
        lengths_B: Tensor,
        *,
        mapped: bool = False,
    ) -> Context:
        """The context of tensors by the name of the field, as `parts` gives them."""
        none: tuple[Tensor, ...] = ()
        return cls(
            parts["keys"],
            parts["values"],
            lengths_B,
            mapped,
            parts.get("key_scales", none),
            parts.get("value_scales", none),
        )

    @property
    def rows(self) -> int:
        """Number of rows B."""
        return int(self.lengths_B.shape[0])

    @property
    def width(self) -> int:
        """Tokens T that the tensors are wide."""
        return int(self.keys[0].shape[2]) if self.keys else 0

    @property
    def bytes(self) -> int:
        """Memory that the keys and values take."""
        return sum(x.numel() * x.element_size() for part in self.parts().values() for x in part)

    def parts(self) -> dict[str, tuple[Tensor, ...]]:
        """Its tensors [B, H, T, ...] by the name of the field, one per layer; no empty fields."""
        names = ("keys", "values", "key_scales", "value_scales")
        return {name: part for name in names if (part := getattr(self, name))}

    def each(self, change: Callable[[Tensor], Tensor], lengths_B: Tensor | None = None) -> Context:
        """A context of changed tensors, no longer mapped.

        Args:
            change: of one tensor [B, H, T, ...].
            lengths_B: of the new rows, where they are others.
        """
        changed = {name: tuple(map(change, part)) for name, part in self.parts().items()}
        lengths_B = self.lengths_B if lengths_B is None else lengths_B
        return replace(self, **changed, lengths_B=lengths_B, mapped=False)

    def repeated(self, times: int) -> Context:
        """Every row that many times in a row."""
        if times == 1:
            return self
        return self.each(
            lambda x: x.repeat_interleave(times, 0), self.lengths_B.repeat_interleave(times)
        )

    def select(self, rows: Sequence[int]) -> Context:
        """The rows of those indices, in that order, no wider than the longest of them."""
        index = torch.as_tensor(rows, dtype=torch.long, device=self.lengths_B.device)
        lengths_B = self.lengths_B[index]
        width = int(lengths_B.max()) if len(rows) else 0
        return self.each(lambda x: x[:, :, :width].index_select(0, index.to(x.device)), lengths_B)
