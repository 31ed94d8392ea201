"""Full fine-tuning of a backbone on a task: what a soft prompt is measured against.

The same template, answers, objective, scoring, batch size and validation protocol as the soft
prompt; all weights are trained in fp32, products in bfloat16 where that is fastest. The learning
rate is chosen on validation rows, so that the opponent is not handicapped.

Shapes: B rows.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch

from benchmarks.timeline import Timeline
from softprompt.backbones import Backbone, Context, load_backbone
from softprompt.backbones.precision import fastest_dtype
from softprompt.evaluation import value
from softprompt.inference import Contexts, Encoded, answer, encode_rows, measure
from softprompt.inference.continuation import Continuation, token_log_probabilities
from softprompt.prompts import Layout
from softprompt.tasks import Task
from softprompt.training.objectives import OBJECTIVES
from softprompt.training.schedule import Batch, epoch_batches, learning_rate_factor, steps_per_epoch

__all__ = ["RATES", "fine_tune"]

RATES = (1e-4, 3e-4, 1e-3)
BATCH = 16


def fine_tune(
    task: Task, model: str, *, rate: float, epochs: int, seed: int, metric: str
) -> dict[str, Any]:
    """Trains every weight and measures the best epoch.

    Args:
        task: rows of all splits.
        model: name of the backbone.
        rate: peak learning rate of AdamW.
        epochs: passes over the training rows.
        seed: of the order of rows.
        metric: that chooses the epoch.

    Returns:
        `validation` score, `best_epoch`, `timeline` (of validations, from before the model is
        loaded), `test` metrics.
    """
    timeline = Timeline()
    backbone = load_backbone(model, dtype="fp32")
    backbone.model.requires_grad_(True)
    layout = Layout(backbone, None)
    train = encode_rows(task, task.train, layout, answers="choices")
    validation = encode_rows(task, task.validation, layout, answers="choices")
    # The whole row is trained, so nothing of it is a constant context.
    whole = [replace(e, context=(), trunk=e.context + e.trunk) for e in train.examples]
    buckets = Contexts(backbone, train.examples, bucket_rows=8 * BATCH).buckets
    gold = [task.labels.index(str(row.answer)) for row in train.rows]
    optimizer = torch.optim.AdamW(backbone.model.parameters(), lr=rate, weight_decay=0.01)
    per_epoch = steps_per_epoch(buckets, BATCH)
    best_score, best_epoch, best_weights = -1.0, 0, None
    step = 0
    for epoch in range(epochs):
        for batch in epoch_batches(buckets, BATCH, seed, epoch):
            for group in optimizer.param_groups:
                group["lr"] = rate * learning_rate_factor(step, epochs * per_epoch, 0.06)
            _step(backbone, whole, gold, buckets, batch, optimizer)
            step += 1
        score = value(_metrics(backbone, task, validation), metric)
        timeline.note(score)
        if score > best_score:
            best_score, best_epoch = score, epoch + 1
            best_weights = copy.deepcopy(backbone.model.state_dict())
    assert best_weights is not None
    backbone.model.load_state_dict(best_weights)
    test = encode_rows(task, task.test, layout, answers="choices")
    return {
        "validation": best_score,
        "best_epoch": best_epoch,
        "rate": rate,
        "timeline": timeline.points,
        "test": _metrics(backbone, task, test),
    }


def _step(
    backbone: Backbone,
    examples: list[Any],
    gold: list[int],
    buckets: list[list[int]],
    batch: Batch,
    optimizer: torch.optim.Optimizer,
) -> None:
    rows = [buckets[batch.bucket][member] for member in batch.members]
    device = backbone.device
    what = Continuation.of([examples[row] for row in rows], device)
    half = fastest_dtype(backbone.hidden_size, device) == "bf16"
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        tokens_M = token_log_probabilities(backbone, Context.empty(len(rows), device), what, ())
        gold_B = torch.tensor([gold[row] for row in rows], device=device)
        loss = OBJECTIVES.get("choices")(tokens_M, what, gold_B).mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(backbone.model.parameters(), 1.0)
    optimizer.step()


def _metrics(backbone: Backbone, task: Task, encoded: Encoded) -> dict[str, Any]:
    return measure(task, encoded, answer(backbone, task, encoded, ()))
