"""Training by plain Transformers and PEFT: what a memory or time of ours stands beside.

Each function takes a model of Transformers that nothing of this project has touched, and gives one
step: forward over the whole row, backward, AdamW. Rows are as long as one another, so that there is
no padding and positions are right. It knows nothing of what is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from peft import LoraConfig, PromptTuningConfig, TaskType, get_peft_model

from benchmarks.batch import ANSWER, VECTORS, token_ids

__all__ = ["full_step", "lora_step", "prompt_tuning_step"]

LORA_RANK, LORA_ALPHA = 16, 32


def prompt_tuning_step(
    model: Any, rows: int, tokens: int, *, compiled: bool = False
) -> Callable[[], object]:
    """A step of PEFT prompt tuning, in the model's precision.

    Args:
        model: its weights stay as they are.
        rows, tokens: of a batch, the answer's tokens not counted.
        compiled: whether the forward pass goes through `torch.compile`.
    """
    settings = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=VECTORS)
    return _step(get_peft_model(model, settings), rows, tokens, rate=1e-2, compiled=compiled)


def lora_step(model: Any, rows: int, tokens: int) -> Callable[[], object]:
    """A step of PEFT LoRA on the layers that it picks for the model, in the model's precision."""
    settings = LoraConfig(task_type=TaskType.CAUSAL_LM, r=LORA_RANK, lora_alpha=LORA_ALPHA)
    return _step(get_peft_model(model, settings), rows, tokens)


def full_step(
    model: Any, rows: int, tokens: int, *, half: bool, checkpointed: bool = False
) -> Callable[[], object]:
    """A step of full fine-tuning; gradients and moments are in the precision of the weights.

    Args:
        model: its weights are trained.
        rows, tokens: of a batch, the answer's tokens not counted.
        half: whether products run in bf16 by autocast.
        checkpointed: whether layers are computed again in the backward pass.
    """
    if checkpointed:
        model.gradient_checkpointing_enable()
    return _step(model, rows, tokens, half=half)


def _step(
    model: Any,
    rows: int,
    tokens: int,
    *,
    rate: float = 1e-4,
    half: bool = False,
    compiled: bool = False,
) -> Callable[[], object]:
    model.train()
    device = model.device
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
    ids = token_ids(rows, tokens, model.config.vocab_size).to(device)
    labels = ids.clone()
    labels[:, :-ANSWER] = -100
    mask = torch.ones_like(ids)
    forward = torch.compile(model) if compiled else model

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16) if half else nullcontext():
            loss = forward(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss
        loss.backward()
        optimizer.step()

    return step
