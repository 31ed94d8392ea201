"""Prompt vectors as rows behind the vocabulary, so that a soft prompt is token ids.

An id of the vocabulary's size or more reads a row of the bank. Every prompt has rows of its own;
those of a prompt that nobody uses are given to others when the bank is full. Rows in use are never
overwritten. It does not know who runs the model.

Shapes: V vocabulary, C rows of the bank, P vectors of a prompt, D hidden size.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

import torch
from torch import Tensor, nn

from softprompt.inference.mixed import ReadyPrompt

__all__ = ["Bank", "WithBank"]

ROWS = 1024
"""Rows that the bank begins with; it doubles when all are in use."""


@dataclass(eq=False)
class _Stay:
    """A prompt's rows.

    Args:
        start: first row.
        users: requests at work that read them.
    """

    start: int
    users: int


class Bank:
    """Rows of vectors.

    Args:
        table_VD: the input embeddings beside which the rows stand.
        most: rows at most; more are made only where all are in use at once.
    """

    def __init__(self, table_VD: Tensor, most: int = 65_536) -> None:
        self.rows_CD = torch.zeros(
            min(ROWS, most), table_VD.shape[1], dtype=table_VD.dtype, device=table_VD.device
        )
        self._first, self._most = len(table_VD), most
        self._stays: OrderedDict[ReadyPrompt, _Stay] = OrderedDict()
        self._used = 0
        self._lock = Lock()

    def take(self, prompt: ReadyPrompt) -> int:
        """The id of a prompt's first vector, whose rows stay until `leave`; the others follow it.

        Args:
            prompt: of depth `input`.
        """
        vectors_PD = prompt.entering.embeds_PD
        assert vectors_PD is not None, "only vectors among the embeddings have rows"
        with self._lock:
            stay = self._stays.get(prompt)
            if stay is None:
                stay = self._stays[prompt] = _Stay(self._place(prompt.length), 0)
                # Requests at work read other rows, so that nothing they see changes.
                self.rows_CD[stay.start : stay.start + prompt.length] = vectors_PD
            self._stays.move_to_end(prompt)
            stay.users += 1
            return self._first + stay.start

    def leave(self, prompt: ReadyPrompt) -> None:
        """One request less reads a prompt's rows."""
        with self._lock:
            self._stays[prompt].users -= 1

    def _place(self, length: int) -> int:
        """The first of so many rows that nobody uses."""
        if self._used + length > self._most:
            idle = next(
                (p for p, stay in self._stays.items() if not stay.users and p.length == length),
                None,
            )
            if idle is not None:
                return self._stays.pop(idle).start
        start, self._used = self._used, self._used + length
        if self._used > len(self.rows_CD):
            # A pass that has begun keeps the old rows, which hold all that it reads.
            size = max(self._used, 2 * len(self.rows_CD))
            grown_CD = self.rows_CD.new_zeros(size, self.rows_CD.shape[1])
            grown_CD[: len(self.rows_CD)] = self.rows_CD
            self.rows_CD = grown_CD
        return start


class WithBank(nn.Module):
    """An input embedding that reads a bank for ids behind the vocabulary.

    Args:
        table: the model's own.
        bank: of its size.
    """

    def __init__(self, table: nn.Module, bank: Bank) -> None:
        super().__init__()
        self.table, self._bank = table, bank

    @property
    def weight(self) -> Tensor:
        """[V, D] of the model's own table, which other parts of the model may ask for."""
        weight = self.table.weight
        assert isinstance(weight, Tensor), "an embedding has a table"
        return weight

    def forward(self, ids: Tensor) -> Tensor:
        """[..., D] embeddings of ids [...]."""
        first = len(self.weight)
        embeds = self.table(ids.clamp(max=first - 1))
        virtual = ids >= first
        rows = self._bank.rows_CD.index_select(0, (ids[virtual] - first).flatten())
        embeds[virtual] = rows
        return embeds  # type: ignore[no-any-return]
