"""From a rendered row to token ids: its parts arranged, each tokenised, then laid out by form.

Every segment of text is tokenised on its own, the same way in training, evaluation and use. It does
not know what the vectors are, nor who runs the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Literal

from softprompt.errors import DataError, UsageError
from softprompt.locale import _
from softprompt.prompts.depths import DEPTHS
from softprompt.prompts.example import Example
from softprompt.prompts.forms import FORMS, Section
from softprompt.prompts.placements import BOS, PLACEMENTS, Arranged
from softprompt.tasks import Rendered, Slot

if TYPE_CHECKING:
    from softprompt.backbones import Backbone

__all__ = ["Example", "Layout", "Scoring", "TooLongError"]

Scoring = Literal["whole", "wording", "distinct"]
_MOST_CHOICES = 64
"""Lists of choices whose token ids are kept; rows may have lists of their own."""


class TooLongError(DataError):
    """A row takes more tokens than the model's window has."""


@dataclass(frozen=True)
class Layout:
    """How rows become examples for one backbone.

    Args:
        backbone: whose tokenizer and window count.
        placement: name of a placement; None where there is no soft prompt.
        length: vectors of the prompt (for `slots` the template decides).
        depth: where they enter.
        heads: rows of a classifier's head, one a choice, which are the prompt's first rows.
        scoring: what is read of several answers: all tokens of each with the end token (`whole`),
            all tokens alone (`wording`), or the first ones, until each differs from all others
            (`distinct`).
    """

    backbone: Backbone
    placement: str | None
    length: int = 0
    depth: str = "input"
    heads: int = 0
    scoring: Scoring = "whole"

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
                _(
                    "The template has {{prompt:N}} slots, and the placement is {placement!r}."
                ).format(placement=self.placement),
                _("Take the slots out, or use --placement slots."),
            )
        return PLACEMENTS.get(self.placement)(parts, self.length)

    def in_encoder(self, rendered: Rendered) -> int:
        """How many vectors, the first ones, stand in an encoder beside a decoder."""
        if self.backbone.form != "encoder_decoder":
            return 0
        parts = self.arrange(rendered)
        last = max((place for place, part in enumerate(parts) if isinstance(part, str)), default=0)
        return sum(part.length for part in parts[:last] if isinstance(part, Slot))

    def example(self, rendered: Rendered, answers: Sequence[str], where: str = "") -> Example:
        """Token ids of a row with the given answers.

        Args:
            rendered: the row's parts.
            answers: wordings, without the white space that separates them from the context.
            where: what to call the row in an error ("data.csv, row 12").

        Raises:
            TooLongError: the row does not fit into the model's window.
            UsageError: a classifier's head has other choices, or the prompt alone fills the window.
        """
        if self.backbone.form == "pooled" and answers and len(answers) != self.heads:
            raise UsageError(
                _(
                    "{model} reads its answer from a head that is trained with the prompt and has "
                    "{heads} choices; {answers} are asked for."
                ).format(model=self.backbone.identity.name, heads=self.heads, answers=len(answers)),
                _(
                    "Train a prompt for these choices, or choose a model that writes (`softprompt "
                    "models`)."
                ),
            )
        sections: list[Section] = []
        vectors = self.heads
        for part in self.arrange(rendered):
            if isinstance(part, Slot):
                ids = list(range(-1 - vectors, -1 - vectors - part.length, -1))
                sections.append(Section(ids, "slot"))
                vectors += part.length
            elif isinstance(part, str):
                sections.append(Section(self.backbone.encode(part), "text"))
            elif self.backbone.bos is not None:
                sections.append(Section([self.backbone.bos], "opening"))
        form, depth = FORMS[self.backbone.form], DEPTHS.get(self.depth)
        example = form(sections, self._answers(rendered, answers), self.backbone, depth)
        self._refuse_long(example, vectors - self.heads, where)
        return example

    def _refuse_long(self, example: Example, vectors: int, where: str) -> None:
        """Refuses a row that does not fit with the prompt's vectors, and vectors that leave no row
        any room."""
        window = self.backbone.window
        if example.tokens <= window:
            return
        if vectors >= window:
            raise UsageError(
                _("The prompt has {n} vectors; the model's window has {window} tokens.").format(
                    n=vectors, window=window
                ),
                _("Choose a shorter prompt with --length, or by the template's slots."),
            )
        hint = _("Shorten it, or leave such rows out with --drop-long.")
        if example.tokens - vectors <= window:
            hint = _("Shorten it or the prompt (--length), or leave it out with --drop-long.")
        raise TooLongError(
            _("{where} takes {tokens} tokens; the window of the model has {window}.").format(
                where=where or _("The text"), tokens=example.tokens, window=window
            ),
            hint,
        )

    def _answers(self, rendered: Rendered, answers: Sequence[str]) -> tuple[tuple[int, ...], ...]:
        if self.heads:
            return tuple((-1 - row,) for row in range(len(answers)))
        texts = tuple(rendered.answer_prefix + answer for answer in answers)
        known = self._choices.get(texts)
        if known is not None:
            return known
        whole = tuple(map(self.answer, texts))
        found = _READ[self.scoring](whole)
        if len(texts) > 1 and len(self._choices) < _MOST_CHOICES:
            self._choices[texts] = found
        return found

    @cached_property
    def _choices(self) -> dict[tuple[str, ...], tuple[tuple[int, ...], ...]]:
        """Token ids of choices, which are the same for every row of a task."""
        return {}

    def answer(self, text: str) -> tuple[int, ...]:
        """Token ids of an answer with the end token."""
        return (*self.backbone.encode(text), self.backbone.eos)


def _worded(answers: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    """The answers without the end token, but for one that another goes on from: the end is what
    tells them apart. A single answer stays as it is.

    A model that nothing taught to end an answer here finds the end as likely as such a word is the
    last of a document, whatever the input (the likelihood of continuations in Brown et al. 2020,
    arXiv 2005.14165, has no end either).
    """
    if len(answers) < 2:
        return tuple(answers)
    found = []
    for place, answer in enumerate(answers):
        others = (other for number, other in enumerate(answers) if number != place)
        begun = any(other[: len(answer) - 1] == answer[:-1] for other in others)
        found.append(answer if begun else answer[:-1])
    return tuple(found)


def _until_distinct(answers: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    """The beginnings that tell the answers apart; a single answer stays as it is.

    Once an answer is the only one left, what follows says nothing about the choice: it is as likely
    as the model finds that wording, whatever the input. Equal answers stay whole.
    """
    if len(answers) < 2:
        return tuple(answers)
    found = []
    for place, answer in enumerate(answers):
        others = [other for number, other in enumerate(answers) if number != place]
        lengths = (n for n in count(1) if all(other[:n] != answer[:n] for other in others))
        found.append(answer[: next(lengths)] if answer not in others else answer)
    return tuple(found)


_READ: dict[Scoring, Callable[[Sequence[tuple[int, ...]]], tuple[tuple[int, ...], ...]]] = {
    "whole": tuple,
    "wording": _worded,
    "distinct": _until_distinct,
}
