"""Where the vectors start: one file an initialiser.

An initialiser makes [P, D] vectors from a request. It knows nothing of placement, parametrisation
or training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from softprompt.locale import mark
from softprompt.registry import Registry, discover

if TYPE_CHECKING:
    from softprompt.backbones import Backbone

__all__ = [
    "INITIALISERS",
    "READING_TEXT",
    "SHOWING_ROWS",
    "TAKING_PROMPTS",
    "Initialiser",
    "Request",
]


@dataclass(frozen=True)
class Request:
    """What an initialiser may use.

    Args:
        backbone: whose embedding table is the manifold to start on.
        length: P, number of vectors.
        seed: of everything drawn at random.
        texts: training inputs.
        labels: the label of each of `texts`, for classification; else empty.
        wordings: what the model reads for each label.
        text: the user's initial text, or None.
        prompt: [P', X] rows of another prompt, or None.
        demonstrations: from a row's place to the row as a demonstration.
        order: places of the training rows, the first to be shown first, from a seed.
        made_of: places of the prompt by the training row that they were made of, where the
            initialiser notes it.
        deepened: from embeddings [n, D] to rows [n, X] of the prompt that is made.
    """

    backbone: Backbone
    length: int
    seed: int = 0
    texts: Sequence[str] = ()
    labels: Sequence[str] = ()
    wordings: Sequence[str] = ()
    text: str | None = None
    prompt: Tensor | None = None
    demonstrations: Callable[[int], str] = str
    order: Callable[[int], Sequence[int]] = lambda seed: ()
    made_of: dict[int, Sequence[int]] = field(default_factory=dict)
    deepened: Callable[[Tensor], Tensor] = lambda embeds_ND: embeds_ND
    _frequent: list[int] = field(default_factory=list, repr=False)

    def demonstrated(self) -> Sequence[int]:
        """Places of the training rows, in the order in which they are shown."""
        return self.order(self.seed)

    def alike(self, row: int) -> list[int]:
        """Places of the training rows that read as this one does, answer and all, itself among
        them."""
        shown = self.demonstrations(row)
        same = [n for n, text in enumerate(self.texts) if text == self.texts[row] and n != row]
        return [row, *(n for n in same if self.demonstrations(n) == shown)]

    def generator(self) -> torch.Generator:
        """A fresh generator, so that each use draws the same."""
        return torch.Generator().manual_seed(self.seed)

    def rows(self, ids: Sequence[int]) -> Tensor:
        """[n, D] fp32 embeddings of ids, as the model sees them (scaled, where it scales)."""
        index = torch.as_tensor(ids, dtype=torch.long, device=self.backbone.device)
        return self.backbone.embed(index).detach().float().cpu()

    def word(self, text: str) -> Tensor:
        """[D] mean embedding of a text's tokens (the label rule of Lester et al. 2021)."""
        return self.rows(self.backbone.encode(text)).mean(0)

    def frequent(self) -> list[int]:
        """Up to 5,000 token ids, the most frequent in the training texts first."""
        if not self._frequent:
            counts: Counter[int] = Counter()
            for text in self.texts:
                counts.update(self.backbone.encode(text))
            special = set(self.backbone.tokenizer.all_special_ids)
            ids = [i for i, _ in counts.most_common(5000) if i not in special]
            # Low ids are a vocabulary's frequent tokens; they fill up what short texts lack.
            missing = (i for i in range(self.backbone.vocabulary) if i not in special)
            seen = set(ids)
            for i in missing:
                if len(ids) >= 5000:
                    break
                if i not in seen:
                    ids.append(i)
            self._frequent.extend(ids)
        return self._frequent

    def vocabulary(self, count: int) -> Tensor:
        """[count, D] embeddings of frequent tokens, none again before all were drawn."""
        ids, generator = self.frequent(), self.generator()
        drawn: list[int] = []
        while len(drawn) < count:
            drawn += torch.randperm(len(ids), generator=generator).tolist()
        return self.rows([ids[i] for i in drawn[:count]])

    def filled(self, start_ND: Tensor) -> Tensor:
        """[P, D] the given vectors, cut or filled up with frequent vocabulary."""
        if start_ND.shape[0] >= self.length:
            return start_ND[: self.length]
        more_ND = self.vocabulary(self.length - start_ND.shape[0])
        # Another prompt may hold more at each place than an embedding.
        deeper = start_ND.shape[1] != more_ND.shape[1]
        return torch.cat([self.deepened(more_ND) if deeper else more_ND, start_ND])


Initialiser = Callable[[Request], Tensor]
SHOWING_ROWS: set[str] = set()
"""Initialisers that put training rows into the prompt."""
READING_TEXT: set[str] = set()
"""Initialisers that begin from the user's text."""
TAKING_PROMPTS: set[str] = set()
"""Initialisers that begin from another prompt."""

INITIALISERS: Registry[Initialiser] = Registry(mark("initialisation"))
discover(__name__, list(__path__))
