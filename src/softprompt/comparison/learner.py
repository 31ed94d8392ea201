"""A model some of whose weights learn, and the head that learns with them where it has one.

An encoder (BERT family) has no answer of its own: a row [D] for each choice is trained with the
weights, as it is with a prompt (`softprompt.prompts.head`). A model that writes has none.

Shapes: C choices, D hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from softprompt.backbones import Backbone
from softprompt.prompts import Layout, Scoring
from softprompt.prompts.head import HEAD, first_head
from softprompt.training.objectives import OBJECTIVES

__all__ = ["Learner"]

_FILE = "head.safetensors"


@dataclass(frozen=True, eq=False)
class Learner:
    """What learns.

    Args:
        backbone: some of whose weights are free.
        head: [C, D] rows of a head, fp32; None where the model writes.
        scoring: what is read of several answers (see `softprompt.prompts.Layout`).
        objective: what choices are learned by.
        half: whether products of weights in fp32 are made in bfloat16.
    """

    backbone: Backbone
    head: nn.Parameter | None = None
    scoring: Scoring = "whole"
    objective: str = "choices"
    half: bool = False

    @classmethod
    def of(cls, backbone: Backbone, choices: int, seed: int, objective: str = "choices") -> Learner:
        """A model with the head that it needs for so many choices, before any training.

        Choices are read as a soft prompt's of that objective are: until they differ, unless it says
        otherwise.
        """
        if not choices:
            return cls(backbone)
        if backbone.form != "pooled":
            return cls(backbone, None, OBJECTIVES.get(objective).scoring, objective)
        rows_CD = first_head(choices, backbone.hidden_size, seed)
        return cls(backbone, nn.Parameter(rows_CD.to(backbone.device)))

    @property
    def layout(self) -> Layout:
        """How rows become token ids: no prompt in them."""
        heads = len(self.prompts[0]) if self.prompts else 0
        return Layout(self.backbone, None, heads=heads, scoring=self.scoring)

    @property
    def prompts(self) -> tuple[Tensor, ...]:
        """The head as the rows of a prompt without vectors; none where there is no head."""
        return () if self.head is None else (self.head,)

    @property
    def free(self) -> list[nn.Parameter]:
        """Everything that learns."""
        weights = [p for p in self.backbone.model.parameters() if p.requires_grad]
        return weights if self.head is None else [*weights, self.head]

    def save_head(self, folder: Path) -> None:
        """Writes the head into a new folder, beside the weights, where there is one."""
        if self.head is not None:
            save_file({HEAD: self.head.detach().cpu()}, folder / _FILE)

    def read_head(self, folder: Path) -> None:
        """Puts a stored head in the place of the present one."""
        if self.head is not None:
            with torch.no_grad():
                self.head.copy_(load_file(folder / _FILE)[HEAD])
