"""Prompts with random vectors for tests of serving."""

from __future__ import annotations

from itertools import product

import torch
from tiny import tiny_backbone

from softprompt.backbones import Backbone
from softprompt.prompts import PromptTask, SoftPrompt
from softprompt.prompts.depths import DEPTHS
from softprompt.prompts.readout import numbers_read
from softprompt.tasks import Choice

KINDS = list(
    product(("front", "prefix", "suffix", "both", "slots"), DEPTHS.names(), ("score", "write"))
)
CHOICES = (Choice("pos", "tốt lắm"), Choice("neg", "xấu lắm"), Choice("none", "not"))


def made(
    placement: str = "suffix",
    depth: str = "input",
    kind: str = "score",
    *,
    seed: int = 0,
    members: int = 1,
    backbone: Backbone | None = None,
    readout: bool = False,
) -> SoftPrompt:
    """A prompt that scores three choices or writes up to ten tokens; with a readout where wanted
    and where one can be."""
    backbone = backbone or tiny_backbone()
    what, generator = DEPTHS.get(depth), torch.Generator().manual_seed(seed)
    tensors = {}
    for member in range(members):
        length = 3 + (seed + member) % 3
        lengths = [2, length - 2] if placement == "slots" else [length]
        rows = torch.randn(length, what.width(backbone), generator=generator)
        found = what.tensors(rows, lengths, backbone)
        prefix = f"member.{member}." if members > 1 else ""
        tensors |= {prefix + name: tensor for name, tensor in found.items()}
    if readout and placement == "suffix" and kind == "score":
        numbers = numbers_read(backbone)
        tensors |= {
            "readout.weight": torch.randn(len(CHOICES), numbers, generator=generator),
            "readout.bias": torch.randn(len(CHOICES), generator=generator),
        }
    text = "{text}\nĐánh giá: {answer}"
    if placement == "slots":
        text = f"{{prompt:2}}{{text}}\nĐánh giá:{{prompt:{3 + seed % 3 - 2}}} {{answer}}"
    task = PromptTask(
        "classification" if kind == "score" else "generation",
        text,
        ("text",),
        "rating",
        CHOICES if kind == "score" else (),
        temperature=20.0,
        max_new_tokens=10,
        adjustment=(0.02, 0.0, 0.01) if kind == "score" else (),
    )
    return SoftPrompt(
        tensors=tensors,
        placement=placement,
        depth=depth,
        task=task,
        backbone=backbone.identity,
    )
