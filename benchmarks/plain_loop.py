"""Training by plain Transformers and PEFT: what a memory or time of ours stands beside.

Each function gives one step: forward over the whole row, backward, AdamW. Rows are as long as one
another, so that there is no padding. It knows nothing of what is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from peft import LoraConfig, TaskType, get_peft_model

from benchmarks.train_step import token_ids
from softprompt.backbones import Backbone

__all__ = ["full_step", "lora_step"]

LORA_RANK, LORA_ALPHA = 16, 32


def lora_step(backbone: Backbone, rows: int, tokens: int) -> Callable[[], object]:
    """A step of PEFT LoRA on the layers that it picks for the model, in the model's precision."""
    settings = LoraConfig(task_type=TaskType.CAUSAL_LM, r=LORA_RANK, lora_alpha=LORA_ALPHA)
    model = get_peft_model(backbone.model, settings)
    return _step(model, rows, tokens, backbone.vocabulary, half=False)


def full_step(
    backbone: Backbone, rows: int, tokens: int, *, half: bool, checkpointed: bool = False
) -> Callable[[], object]:
    """A step of full fine-tuning; gradients and moments are in the precision of the weights.

    Args:
        backbone: its weights are trained.
        rows, tokens: of a batch, the answer's tokens not counted.
        half: whether products run in bf16 by autocast.
        checkpointed: whether layers are computed again in the backward pass.
    """
    backbone.model.requires_grad_(True)
    if checkpointed:
        backbone.model.gradient_checkpointing_enable()
    return _step(backbone.model, rows, tokens, backbone.vocabulary, half=half)


def _step(
    model: Any, rows: int, tokens: int, vocabulary: int, *, half: bool
) -> Callable[[], object]:
    model.train()
    device = model.device
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    ids = token_ids(rows, tokens, vocabulary).to(device)
    labels = ids.clone()
    labels[:, :tokens] = -100
    mask = torch.ones_like(ids)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16) if half else nullcontext():
            loss = model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss
        loss.backward()
        optimizer.step()

    return step
