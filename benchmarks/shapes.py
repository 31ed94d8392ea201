"""Llama shapes with random weights, and the floating-point operations that a suffix step needs.

Shapes: N new positions of a row, T context tokens, U positions that predict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from softprompt import load_backbone
from softprompt.backbones import Backbone

__all__ = ["SHAPES", "SIZES", "Shape", "build", "build_model"]


@dataclass(frozen=True)
class Shape:
    """A Llama.

    Args:
        hidden, layers, heads, groups, intermediate, vocabulary: its sizes; `groups` is the number
            of key-value heads.
    """

    hidden: int
    layers: int
    heads: int
    groups: int
    intermediate: int
    vocabulary: int

    @property
    def parameters(self) -> int:
        """Number of weights; the embeddings, which are the head too, once."""
        keys = self.hidden // self.heads * self.groups
        layer = 2 * self.hidden**2 + 2 * self.hidden * keys + 3 * self.hidden * self.intermediate
        norms = (2 * self.layers + 1) * self.hidden
        return self.vocabulary * self.hidden + self.layers * layer + norms

    def suffix_operations(self, vectors: int, answer: int, context: int) -> float:
        """Operations of forward and backward of one row of one suffix prompt.

        The answer's last token is predicted and never read. In the last layer every position gives
        keys and values and only those that predict do the rest. The context's keys and values get
        no gradient, and no weight does.

        Args:
            vectors, answer, context: tokens of each.
        """
        new, predict = vectors + answer - 1, answer
        size = self.hidden // self.heads
        project = 2 * self.hidden * self.groups * size
        rest = 2 * self.hidden**2 + 3 * self.hidden * self.intermediate
        whole, last = new * (project + rest), new * project + predict * rest
        linear = 2 * ((self.layers - 1) * whole + last)
        pairs = (self.layers - 1) * new + predict
        over_context = 2 * 2 * self.hidden * pairs * context
        own = 2 * 2 * self.hidden * pairs * (new + 1) / 2
        head = 2 * predict * self.hidden * self.vocabulary
        forward = linear + over_context + own + head
        backward = linear + over_context + 2 * own + head
        return float(forward + backward)


SHAPES = {
    "8M": Shape(256, 8, 4, 4, 704, 8192),
    "135M": Shape(576, 30, 9, 3, 1536, 49152),
}
"""`135M` is SmolLM2-135M's shape."""

SIZES = {
    "2M": Shape(128, 6, 4, 4, 352, 8192),
    "8M": SHAPES["8M"],
    "34M": Shape(512, 8, 8, 8, 1408, 16384),
    "135M": SHAPES["135M"],
    "360M": Shape(960, 32, 15, 5, 2560, 49152),
}
"""Shapes in order of size; `360M` is SmolLM2-360M's."""


def build_model(shape: Shape, dtype: str) -> Any:
    """A plain Transformers model of that shape with random weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.groups,
        intermediate_size=shape.intermediate,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Made in its precision: going through fp32 would leave a peak that training does not have.
    return AutoModelForCausalLM.from_config(config, dtype=kind).to(device)


def build(shape: Shape, dtype: str) -> Backbone:
    """That model, frozen, as our side trains over it, with nano's tokenizer for its end token."""
    return Backbone(build_model(shape, dtype), load_backbone("nano").tokenizer, dtype=dtype)
