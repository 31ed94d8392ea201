"""Held-out bits per byte of each label.

The held-out documents are read as training reads them: one after the other with BOS and EOS
between, in rows that start with BOS. Bits of the text's own tokens are counted, divided by the
UTF-8 bytes of the text; BOS and EOS are free. Legend: B rows, T tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from recipes.nano import shards
from recipes.nano.model import make_loss
from recipes.nano.settings import Settings
from recipes.nano.tokenizer import BOS_ID, EOS_ID, PAD_ID

ROWS = 4


def bits_per_byte(
    model: LlamaForCausalLM,
    settings: Settings,
    tokenizer: Tokenizer,
    folder: Path,
    labels: Iterable[str],
    most_tokens: int = 0,
) -> dict[str, float]:
    """Return bits per byte for every label that has held-out text.

    `most_tokens` limits the tokens read per label; 0 reads all.
    """
    result: dict[str, float] = {}
    for label in labels:
        tokens = shards.read(folder / f"{label}.held_out.npy")
        if most_tokens:
            tokens = tokens[:most_tokens]
        if len(tokens):
            text = tokenizer.decode(tokens.tolist(), skip_special_tokens=True)
            result[label] = _nats(model, settings, tokens) / math.log(2) / len(text.encode())
    return result


@torch.no_grad()
def _nats(model: LlamaForCausalLM, settings: Settings, tokens: shards.Tokens) -> float:
    eager = Settings(context=settings.context, compile=False, bfloat16=settings.bfloat16)
    loss = make_loss(model, eager, reduction="none")
    length = settings.context
    total = 0.0
    for start in range(0, len(tokens), ROWS * length):
        flat = tokens[start : start + ROWS * length].astype(np.int64)
        rows = -(-len(flat) // length)
        padded_BT = np.full(rows * length, PAD_ID, dtype=np.int64)
        padded_BT[: len(flat)] = flat
        tokens_BT = torch.from_numpy(padded_BT.reshape(rows, length))
        text = ~torch.isin(tokens_BT.flatten(), torch.tensor([PAD_ID, BOS_ID, EOS_ID]))
        total += loss(tokens_BT)[text].sum().item()
    return total
