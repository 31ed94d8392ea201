"""Training a model's own weights on a task: all of them, or those that an adapter adds.

Whole rows go through the model, with the objective, answers, scoring, batch size and validation of
the soft prompt. What learns is what requires a gradient; it does not know why.

Shapes: B rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from softprompt.backbones import Backbone, Context
from softprompt.backbones.precision import fastest_dtype
from softprompt.evaluation import value
from softprompt.inference import Contexts, Encoded, answer, encode_rows, measure
from softprompt.inference.continuation import Continuation, token_log_probabilities
from softprompt.prompts import Layout
from softprompt.tasks import Task
from softprompt.training.objectives import OBJECTIVES
from softprompt.training.schedule import Batch, epoch_batches, learning_rate_factor, steps_per_epoch

__all__ = ["Lesson", "train_weights"]

BATCH = 16
WARMUP, DECAY = 0.06, 0.01


@dataclass(frozen=True)
class Lesson:
    """How weights are trained.

    Args:
        rate: peak learning rate of AdamW.
        epochs: passes over the training rows.
        seed: of the order of rows.
        metric: that chooses the epoch.
        chat: whether the model's chat template is used.
        drop_long: leave out rows that do not fit into the window.
        max_new_tokens: longest free answer, in tokens.
    """

    rate: float
    epochs: int
    seed: int
    metric: str
    chat: bool = False
    drop_long: bool = False
    max_new_tokens: int = 64


def train_weights(
    backbone: Backbone,
    task: Task,
    lesson: Lesson,
    *,
    noted: Callable[[float], None] = lambda score: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[float, int]:
    """Trains what requires a gradient and leaves the best epoch's weights in place.

    Args:
        backbone: some of whose weights are free.
        task: rows of training and validation.
        lesson: how.
        noted: called with the score of each validation.
        progress: called with steps done and steps in all.

    Returns:
        the best validation score, and its epoch, 1 for the first.
    """
    objective = "choices" if task.choices else "answer"
    wanted = OBJECTIVES.get(objective).answers
    layout = Layout(backbone, None)
    options: dict[str, Any] = {"chat": lesson.chat, "drop_long": lesson.drop_long}
    train = encode_rows(task, task.train, layout, answers=wanted, **options)
    validation = encode_rows(task, task.validation, layout, answers="choices", **options)
    # The whole row is trained, so nothing of it is a constant context.
    whole = [replace(e, context=(), trunk=e.context + e.trunk) for e in train.examples]
    gold = [task.labels.index(str(r.answer)) if task.choices else 0 for r in train.rows]
    buckets = Contexts(backbone, train.examples, bucket_rows=8 * BATCH).buckets
    free = [p for p in backbone.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(free, lr=lesson.rate, weight_decay=DECAY)
    half = _half_pays(backbone)
    total = lesson.epochs * steps_per_epoch(buckets, BATCH)
    best_score, best_epoch, best = -1.0, 0, [p.detach().clone() for p in free]
    step = 0
    for epoch in range(lesson.epochs):
        for batch in epoch_batches(buckets, BATCH, lesson.seed, epoch):
            for group in optimizer.param_groups:
                group["lr"] = lesson.rate * learning_rate_factor(step, total, WARMUP)
            rows = _rows(buckets, batch)
            picked = [whole[row] for row in rows], [gold[row] for row in rows]
            _step(backbone, *picked, objective, half)
            torch.nn.utils.clip_grad_norm_(free, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
            progress(step, total)
        score = value(_metric(backbone, task, validation, lesson), lesson.metric)
        noted(score)
        if score > best_score:
            best_score, best_epoch, best = score, epoch + 1, [p.detach().clone() for p in free]
    with torch.no_grad():
        for parameter, kept in zip(free, best, strict=True):
            parameter.copy_(kept)
    return best_score, best_epoch


def _rows(buckets: list[list[int]], batch: Batch) -> list[int]:
    return [buckets[batch.bucket][member] for member in batch.members]


def _half_pays(backbone: Backbone) -> bool:
    """Whether products of weights in fp32 are faster in bfloat16."""
    if backbone.compute_dtype != torch.float32:
        return False
    return fastest_dtype(backbone.hidden_size, backbone.device) == "bf16"


def _step(
    backbone: Backbone, examples: list[Any], gold: list[int], objective: str, half: bool
) -> None:
    """Gradients of one batch."""
    device = backbone.device
    what = Continuation.of(examples, device)
    how = OBJECTIVES.get(objective)
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        empty = Context.empty(len(examples), device)
        tokens_M = token_log_probabilities(backbone, empty, what, ())
        losses_B = how(tokens_M, what, torch.tensor(gold, device=device))
        loss = losses_B.sum() / sum(how.weight(example) for example in examples)
    loss.backward()  # type: ignore[no-untyped-call]


def _metric(backbone: Backbone, task: Task, encoded: Encoded, lesson: Lesson) -> dict[str, Any]:
    answers = answer(backbone, task, encoded, (), max_new_tokens=lesson.max_new_tokens)
    return measure(task, encoded, answers)
