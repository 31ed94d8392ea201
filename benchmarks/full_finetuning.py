"""Full fine-tuning of a backbone on a task: what a soft prompt is measured against.

As `softprompt compare` does it (`softprompt.comparison.weights`): the template, answers, objective,
scoring, batch size and validation of the soft prompt; all weights are trained in fp32, products in
bfloat16 where that is fastest. The learning rate is chosen on validation rows by the caller, so
that the opponent is not handicapped, and labels suit the metric as those of a prompt do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.timeline import Timeline
from softprompt.backbones import load_backbone
from softprompt.comparison.learner import Learner
from softprompt.comparison.weights import Lesson, train_weights
from softprompt.inference import Answers, Encoded, adjustment_for, answer, encode_rows, measure
from softprompt.prompts import Layout
from softprompt.tasks import Row, Task

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
        loaded), `adjustment` of the labels, `test` metrics with it and `test_without`.
    """
    timeline = Timeline()
    backbone = load_backbone(model, dtype="fp32")
    backbone.model.requires_grad_(True)
    lesson = Lesson(rate=rate, epochs=epochs, seed=seed, metric=metric)
    score, epoch = train_weights(Learner(backbone), task, lesson, noted=timeline.note)

    def answered(rows: Sequence[Row]) -> tuple[Encoded, Answers]:
        encoded = encode_rows(task, rows, Layout(backbone, None), answers="choices")
        return encoded, answer(backbone, task, encoded, ())

    adjustment = adjustment_for(task, *answered(task.validation), metric)
    test, given = answered(task.test)
    return {
        "validation": score,
        "best_epoch": epoch,
        "rate": rate,
        "timeline": timeline.points,
        "adjustment": list(adjustment),
        "test": measure(task, test, given.at(given.temperature, adjustment)),
        "test_without": measure(task, test, given),
    }
