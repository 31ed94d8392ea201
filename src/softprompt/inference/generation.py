"""Free answers for many rows, through Transformers' own `generate` on embedded sequences.

Rows are padded on the left, which is exact with the mask given. It does not know what the answers
are for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from softprompt.backbones import Backbone
from softprompt.inference.continuation import entering
from softprompt.prompts import Example
from softprompt.prompts.depths import DEPTHS

__all__ = ["generate"]

_BATCH = 16


@torch.no_grad()
def generate(
    backbone: Backbone,
    examples: Sequence[Example],
    prompts: Sequence[Tensor],
    max_new_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    depth: str = "input",
) -> list[str]:
    """The answer to each row, as text without special tokens, stripped.

    Args:
        backbone: the frozen model.
        examples: rows; their answers are not looked at.
        prompts: the prompt, [P, X]; none for rows without one.
        max_new_tokens: longest answer, in tokens.
        temperature: 0 takes the likeliest token; above it samples.
        seed: of the sampling.
        progress: called with rows done and rows in all.
        depth: where the prompt enters.
    """
    lengths = [len(example.context) + len(example.trunk) for example in examples]
    order = sorted(range(len(examples)), key=lengths.__getitem__)
    answers = [""] * len(examples)
    options = {"do_sample": True, "temperature": temperature} if temperature > 0 else {}
    if temperature > 0:
        torch.manual_seed(seed)
    for start in range(0, len(order), _BATCH):
        picked = order[start : start + _BATCH]
        width = max(lengths[row] for row in picked)
        ids_BT = torch.zeros(len(picked), width, dtype=torch.long)
        mask_BT = torch.zeros_like(ids_BT)
        for b, row in enumerate(picked):
            ids = examples[row].context + examples[row].trunk
            ids_BT[b, width - len(ids) :] = torch.tensor(ids)
            mask_BT[b, width - len(ids) :] = 1
        room = max(1, min(max_new_tokens, backbone.window - width))
        embeds_BTD, inserted = entering(
            backbone, ids_BT.to(backbone.device), prompts, DEPTHS.get(depth)
        )
        # The first pass reads the row, which is longer than the single token of every other pass.
        with backbone.inserting(inserted, width):
            output = backbone.model.generate(
                inputs_embeds=embeds_BTD,
                attention_mask=mask_BT.to(backbone.device),
                max_new_tokens=room,
                pad_token_id=backbone.eos,
                eos_token_id=backbone.eos,
                **({"do_sample": False} | options),
            )
        texts = backbone.tokenizer.batch_decode(output, skip_special_tokens=True)
        for row, text in zip(picked, texts, strict=True):
            answers[row] = text.strip()
        if progress:
            progress(start + len(picked), len(examples))
    return answers
