"""Free answers for many rows, written token by token side by side.

Contexts are encoded once and continued; rows of any lengths and prompts of every depth share a
batch, and none depends on its neighbours. It does not know what the answers are for.

Shapes: R rows, N tokens written, V vocabulary, P places of a prompt, X numbers at each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from softprompt.backbones import Backbone, Context, Pass, Writing
from softprompt.inference.contexts import Contexts
from softprompt.inference.continuation import Continuation, entering, read_contexts
from softprompt.prompts import Example

__all__ = ["generate"]


@torch.no_grad()
def generate(
    backbone: Backbone,
    examples: Sequence[Example],
    prompts: Sequence[Tensor],
    max_new_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    contexts: Contexts | None = None,
    progress: Callable[[int, int], None] | None = None,
    depth: str = "input",
) -> list[str]:
    """The answer to each row, as text without special tokens, stripped.

    Args:
        backbone: the frozen model.
        examples: rows; their answers are not looked at.
        prompts: the prompt, [P, X]; none for rows without one.
        max_new_tokens: longest answer, in tokens; shorter where a row's window is full before.
        temperature: 0 takes the likeliest token; above it samples.
        seed: of the sampling.
        contexts: of these examples, where they are kept; else they are encoded on the way.
        progress: called with rows done and rows in all.
        depth: where the prompt enters.
    """
    lengths = [len(example.context) + len(example.trunk) for example in examples]
    contexts = contexts or Contexts(backbone, examples)
    answers = [""] * len(examples)
    generator = torch.Generator(backbone.device).manual_seed(seed)

    def choose(logits_RV: Tensor) -> Tensor:
        if temperature <= 0:
            return logits_RV.argmax(-1)
        chances_RV = (logits_RV / temperature).softmax(-1)
        return torch.multinomial(chances_RV, 1, generator=generator)[:, 0]

    batches = [
        (bucket, range(start, min(start + _BATCH, len(rows))))
        for bucket, rows in enumerate(contexts.buckets)
        for start in range(0, len(rows), _BATCH)
    ]
    done = 0
    for bucket, members in batches:
        picked = [contexts.buckets[bucket][member] for member in members]
        rooms = [max(1, min(max_new_tokens, backbone.window - lengths[row])) for row in picked]
        context = contexts.select(bucket, members)
        rows = [examples[row] for row in picked]
        tokens_RN = _written(backbone, context, rows, prompts, depth, rooms, choose)
        texts = backbone.tokenizer.batch_decode(tokens_RN, skip_special_tokens=True)
        for row, text in zip(picked, texts, strict=True):
            answers[row] = text.strip()
        done += len(picked)
        if progress:
            progress(done, len(examples))
    return answers


def _written(
    backbone: Backbone,
    context: Context,
    examples: Sequence[Example],
    prompts: Sequence[Tensor],
    depth: str,
    rooms: Sequence[int],
    choose: Callable[[Tensor], Tensor],
) -> list[list[int]]:
    """The tokens of each row up to its end token, as many as it has room for at most."""
    begun = [replace(example, answers=()) for example in examples]
    what = Continuation.of(begun, backbone.device, [len(x) for x in prompts], depth)
    entered = entering(backbone, what, prompts)
    last_R = (what.position_RN >= 0).sum(1) - 1
    step = Pass(
        entered.embeds_RND,
        what.position_RN,
        what.branch_RN,
        last_R + torch.arange(len(last_R), device=last_R.device) * what.ids_RN.shape[1],
        entered.inserted,
        entered.beside,
    )
    writing = Writing(backbone, read_contexts(backbone, context, what, prompts), step)
    found: list[list[int]] = [[] for _ in examples]
    open_rows = set(range(len(examples)))
    while True:
        ids_R = choose(backbone.logits(writing.hidden_RD))
        for row, token in enumerate(ids_R.tolist()):
            ended = token in backbone.ends
            if row in open_rows and not ended:
                found[row].append(token)
            if ended or len(found[row]) == rooms[row]:
                open_rows.discard(row)
        if not open_rows:
            return found
        writing.add(ids_R)


_BATCH = 16
