"""One row as the model gets it: token ids, and where vectors of the prompt stand among them.

    [ context: constants, cached ][ trunk: from the first prompt vector on ][ answer, end token ]

It does not know what the vectors are, nor who runs the model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["Example"]


@dataclass(frozen=True)
class Example:
    """One row. An id of -1 - k stands for row k of the prompt.

    Args:
        context: token ids before the first prompt vector; constants of the frozen model.
        trunk: ids from there to the answer, at least one.
        answers: token ids of each answer, the end token included; for a classifier, the row of the
            prompt that is the choice's row of the head.
        encoder: what an encoder reads before the decoder begins, where the prompt stands in it;
            none else (a text without prompt that an encoder reads is the context).
        pool: place in the trunk whose hidden state the answer is read from; None for the last.
    """

    context: tuple[int, ...]
    trunk: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]
    encoder: tuple[int, ...] = ()
    pool: int | None = None

    def with_vectors(self, count: int) -> Example:
        """The same row for a prompt of only `count` rows: the first ones keep their places.

        Rows are laid out for the longest prompt of a population; where the prompt stands in one
        piece, this is the layout of a shorter one.
        """
        trunk, encoder = (
            tuple(token for token in ids if token >= -count) for ids in (self.trunk, self.encoder)
        )
        if len(trunk) == len(self.trunk) and len(encoder) == len(self.encoder):
            return self
        pool = self.pool
        if pool is not None:
            pool = sum(token >= -count for token in self.trunk[:pool])
        return replace(self, trunk=trunk, encoder=encoder, pool=pool)

    def after(self, rows: int) -> Example:
        """The same row with so many rows of other prompts before those that answers name."""
        if self.pool is None or not rows:
            return self
        return replace(self, answers=tuple((row - rows,) for (row,) in self.answers))

    @property
    def reading(self) -> Example:
        """What the encoder reads, as a row of its own without answers.

        A text behind which the whole prompt stands, since what follows it is empty, is read here
        too: the encoder reads all rows of a batch in one pass.
        """
        return Example((), self.encoder or self.context, ())

    @property
    def tokens(self) -> int:
        """Positions that the row takes with its longest answer."""
        longest = 0 if self.pool is not None else max(map(len, self.answers), default=0)
        return len(self.context) + len(self.encoder) + len(self.trunk) + longest
