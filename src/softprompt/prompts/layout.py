"""From a rendered row to token ids: constant context, trunk with the prompt's places, answers.

    [ context: constants, cached ][ trunk: from the first prompt vector on ][ answer, end token ]

Every segment of text is tokenised on its own, the same way in training, evaluation and use. It does
not know what the vectors are, nor who runs the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from softprompt.errors import DataError, UsageError
from softprompt.prompts.depths import DEPTHS
from softprompt.prompts.placements import BOS, PLACEMENTS, Arranged
from softprompt.tasks import Rendered, Slot

if TYPE_CHECKING:
    from softprompt.backbones import Backbone

__all__ = ["Example", "Layout", "TooLongError"]


class TooLongError(DataError):
    """A row takes more tokens than the model's window has."""


@dataclass(frozen=True)
class Example:
    """One row as the model gets it.

    Args:
        context: token ids before the first prompt vector; constants of the frozen model.
        trunk: ids from there to the answer, at least one; -1 - k stands for prompt vector k.
        answers: token ids of each answer, the end token included.
    """

    context: tuple[int, ...]
    trunk: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]

    def with_vectors(self, count: int) -> Example:
        """The same row for a prompt of only `count` vectors: the first ones keep their places.

        Rows are laid out for the longest prompt of a population; where the prompt stands in one
        piece, this is the layout of a shorter one.
        """
        trunk = tuple(token for token in self.trunk if token >= -count)
        return self if len(trunk) == len(self.trunk) else replace(self, trunk=trunk)

    @property
    def tokens(self) -> int:
        """Positions that the row takes with its longest answer."""
        return len(self.context) + len(self.trunk) + max(map(len, self.answers), default=0)


@dataclass(frozen=True)
class Layout:
    """How rows become examples for one backbone.

    Args:
        backbone: whose tokenizer and window count.
        placement: name of a placement; None where there is no soft prompt.
        length: vectors of the prompt (for `slots` the template decides).
        depth: where they enter.
    """

    backbone: Backbone
    placement: str | None
    length: int = 0
    depth: str = "input"

    def arrange(self, rendered: Rendered) -> list[Arranged]:
        """The row's parts in order, with the prompt in its place.

        Raises:
            UsageError: the template has slots and the placement is another one.
        """
        parts = rendered.parts
        if self.placement is None:
            return [BOS, *(part for part in parts if isinstance(part, str))]
        if self.placement != "slots" and any(isinstance(part, Slot) for part in parts):
            raise UsageError(
                f"The template has {{prompt:N}} slots, and the placement is {self.placement!r}.",
                "Take the slots out, or use --placement slots.",
            )
        return PLACEMENTS.get(self.placement)(parts, self.length)

    def example(self, rendered: Rendered, answers: Sequence[str], where: str = "") -> Example:
        """Token ids of a row with the given answers.

        Args:
            rendered: the row's parts.
            answers: wordings, without the white space that separates them from the context.
            where: what to call the row in an error ("data.csv, row 12").

        Raises:
            TooLongError: the row does not fit into the model's window.
        """
        ids: list[int] = []
        vectors = 0
        text_begun = False
        for part in self.arrange(rendered):
            if isinstance(part, Slot):
                ids += range(-1 - vectors, -1 - vectors - part.length, -1)
                vectors += part.length
            elif isinstance(part, str):
                ids += self._encode(part, first=not text_begun)
                text_begun = True
            elif self.backbone.bos is not None:
                ids.append(self.backbone.bos)
        if ids and ids[-1] < 0 and not DEPTHS.get(self.depth).computed:
            ids = _ending_in_a_token(ids)
        first = next((i for i, token in enumerate(ids) if token < 0), max(len(ids) - 1, 0))
        example = Example(
            tuple(ids[:first]),
            tuple(ids[first:]) or (self.backbone.eos,),
            tuple(self.answer(rendered.answer_prefix + answer) for answer in answers),
        )
        if example.tokens > self.backbone.window:
            raise TooLongError(
                f"{where or 'The text'} takes {example.tokens} tokens; the window of the model "
                f"has {self.backbone.window}.",
                "Shorten it, or leave such rows out with --drop-long.",
            )
        return example

    def answer(self, text: str) -> tuple[int, ...]:
        """Token ids of an answer with the end token."""
        return (*self.backbone.encode(text), self.backbone.eos)

    def _encode(self, text: str, *, first: bool) -> list[int]:
        # A chat template writes the opening token as text; the arrangement has put it already.
        opening = self.backbone.tokenizer.bos_token
        if first and self.backbone.bos is not None and opening:
            text = text.removeprefix(opening)
        return self.backbone.encode(text)


def _ending_in_a_token(ids: Sequence[int]) -> list[int]:
    """The same with the last real token at the end, so that something predicts what follows.

    Raises:
        UsageError: there is none.
    """
    real = [place for place, token in enumerate(ids) if token >= 0]
    if not real:
        raise UsageError(
            "A prompt of keys and values needs a token after it, and the row has none.",
            "Put text into the template, or choose depth input.",
        )
    return [*ids[: real[-1]], *ids[real[-1] + 1 :], ids[real[-1]]]
