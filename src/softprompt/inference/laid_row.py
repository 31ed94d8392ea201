"""One row as places: which token or prompt vector stands where, and which branch it belongs to.

It does not know tensors of prompts, nor who computes.

Shapes: R rows, N places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from softprompt.prompts import Example

__all__ = ["LaidRow", "padded"]


class LaidRow(NamedTuple):
    """A row's trunk and answers.

    Args:
        ids: of tokens; -1 - p where row p of all prompts stands.
        positions: of each in the row's sequence.
        branches: 0 for the trunk, c + 1 for answer c.
        trunk: how many of them are the trunk's.
        beside: rows of all prompts at places where nothing is computed.
        places: positions of those.
    """

    ids: list[int]
    positions: list[int]
    branches: list[int]
    trunk: int
    beside: list[int]
    places: list[int]

    @classmethod
    def of(
        cls, example: Example, offset: int, computed: bool, hidden: frozenset[int] = frozenset()
    ) -> LaidRow:
        """The row of an example.

        Args:
            example: laid out.
            offset: of its prompt's rows among those of all prompts.
            computed: whether the prompt's places go through the layers.
            hidden: places of the prompt that the row does not see, where nothing is computed.
        """
        start = len(example.context)
        ids, positions, beside, places = [], [], [], []
        for position, token in enumerate(example.trunk, start):
            if token >= 0 or computed:
                ids.append(token if token >= 0 else token - offset)
                positions.append(position)
            elif -1 - token not in hidden:
                beside.append(-1 - token + offset)
                places.append(position)
        trunk, after = len(ids), start + len(example.trunk)
        branches = [0] * trunk
        for number, answer in enumerate(example.answers, 1):
            fed = answer[:-1]
            ids += fed
            positions += range(after, after + len(fed))
            branches += [number] * len(fed)
        return cls(ids, positions, branches, trunk, beside, places)


def padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
    """[R, N] numbers, padded on the right."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows], dtype=torch.long)
