"""What both sides of the serving benchmark are asked, and PEFT's way to answer it.

PEFT holds all adapters at once and switches between them with `set_adapter`, as its guide does. It
knows nothing of what is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from peft import PromptTuningConfig, TaskType, get_peft_model

from benchmarks.batch import VECTORS
from benchmarks.shapes import Shape, build_model
from softprompt.backbones import Backbone
from softprompt.prompts import PromptTask, SoftPrompt
from softprompt.tasks import Choice

__all__ = ["Asked", "peft_side", "prompt_of", "text_of"]

WORDS = ("the", "food", "was", "cold", "and", "very", "late", "but", "staff", "good", "we", "came")


@dataclass(frozen=True)
class Asked:
    """A request.

    Args:
        task: number of its prompt.
        seed: of its text.
    """

    task: int
    seed: int


def text_of(backbone: Backbone, tokens: int, seed: int) -> str:
    """A text of about that many tokens, another one for every seed."""
    chance = torch.Generator().manual_seed(seed)
    picked = torch.randint(len(WORDS), (tokens,), generator=chance).tolist()
    words = [WORDS[number] for number in picked]
    ids = backbone.encode(" ".join(words))[: tokens - 6]
    return str(backbone.tokenizer.decode(ids))


def prompt_of(backbone: Backbone, kind: str, seed: int) -> SoftPrompt:
    """A suffix prompt of random vectors that writes, or chooses between two labels."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(VECTORS, backbone.hidden_size, generator=generator)
    choices = (Choice("good", "good"), Choice("bad", "bad")) if kind == "classification" else ()
    return SoftPrompt(
        tensors={"vectors": vectors * backbone.embedding_scale},
        placement="suffix",
        task=PromptTask(kind, "{text}\nAnswer: {answer}", ("text",), "answer", choices),
        backbone=backbone.identity,
    )


def peft_side(
    shape: Shape, dtype: str, asked: list[Asked], tokens: int, new: int
) -> Callable[[], int]:
    """PEFT's way through all requests; returns the number of tokens written.

    Args:
        shape, dtype: of the model.
        asked: requests; those of a task are one batch.
        tokens, new: of each input and answer.
    """
    tasks = sorted({one.task for one in asked})
    settings = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=VECTORS)
    model: Any = get_peft_model(build_model(shape, dtype), settings, adapter_name=f"p{tasks[0]}")
    for task in tasks[1:]:
        model.add_adapter(f"p{task}", settings)
    model.eval()
    batches = {}
    for task in tasks:
        rows = sum(one.task == task for one in asked)
        chance = torch.Generator().manual_seed(task)
        ids = torch.randint(3, shape.vocabulary, (rows, tokens), generator=chance)
        batches[task] = ids.to(model.device)

    def side() -> int:
        written = 0
        for task, ids in batches.items():
            model.set_adapter(f"p{task}")
            found = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                min_new_tokens=new,
                max_new_tokens=new,
                do_sample=False,
                pad_token_id=0,
            )
            written += found.shape[0] * new
        return written

    return side
