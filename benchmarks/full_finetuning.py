"""Full fine-tuning of a backbone on a task: what a soft prompt is measured against.

As `softprompt compare` does it (`softprompt.comparison.weights`): the template, answers, objective,
scoring, batch size and validation of the soft prompt; all weights are trained in fp32, products in
bfloat16 where that is fastest. The learning rate is chosen on validation rows by the caller, so
that the opponent is not handicapped.
"""

from __future__ import annotations

from typing import Any

from benchmarks.timeline import Timeline
from softprompt.backbones import load_backbone
from softprompt.comparison.weights import Lesson, train_weights
from softprompt.inference import answer, encode_rows, measure
from softprompt.prompts import Layout
from softprompt.tasks import Task

__all__ = ["RATES", "fine_tune"]

RATES = (1e-4, 3e-4, 1e-3)


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
    lesson = Lesson(rate=rate, epochs=epochs, seed=seed, metric=metric)
    score, epoch = train_weights(backbone, task, lesson, noted=timeline.note)
    test = encode_rows(task, task.test, Layout(backbone, None), answers="choices")
    return {
        "validation": score,
        "best_epoch": epoch,
        "rate": rate,
        "timeline": timeline.points,
        "test": measure(task, test, answer(backbone, task, test, ())),
    }
