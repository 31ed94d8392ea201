"""The small search that every method that trains weights gets, so that none is handicapped.

Each rate trains for a few epochs; the best on validation rows then trains in full.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from softprompt.backbones import Backbone
from softprompt.comparison.job import Job, Measured
from softprompt.comparison.weights import Lesson, train_weights
from softprompt.inference import answer, chat_used, encode_rows
from softprompt.prompts import Layout

__all__ = ["searched"]


def searched(
    job: Job, make: Callable[[], Backbone], rates: Sequence[float], size: Callable[[Backbone], int]
) -> Measured:
    """The method at its best rate.

    Args:
        job: task and settings.
        make: a fresh backbone with the weights free that learn.
        rates: peak rates to choose among.
        size: bytes that the trained weights take on disk.
    """
    scores: dict[float, float] = {}
    begun = time.perf_counter()
    for place, rate in enumerate(rates):
        job.reporter.stage("rate", {"rate": rate, "n": place + 1, "of": len(rates)})
        backbone = make()
        lesson = _lesson(job, backbone, rate, job.how.search_epochs)
        scores[rate], _ = train_weights(backbone, job.task, lesson, progress=job.reporter.progress)
    best = max(scores, key=lambda rate: scores[rate])
    chosen = time.perf_counter()
    job.reporter.stage("weights", {"rate": best})
    backbone = make()
    lesson = _lesson(job, backbone, best, job.how.epochs)
    score, epoch = train_weights(backbone, job.task, lesson, progress=job.reporter.progress)
    trained = time.perf_counter()
    encoded = encode_rows(
        job.task,
        job.task.test,
        Layout(backbone, None),
        answers="choices",
        chat=lesson.chat,
        drop_long=lesson.drop_long,
    )
    job.reporter.stage("evaluation", {"rows": len(encoded.rows)})
    answers = answer(
        backbone,
        job.task,
        encoded,
        (),
        max_new_tokens=lesson.max_new_tokens,
        progress=job.reporter.progress,
    )
    test, texts = job.tested(encoded, answers)
    return Measured(
        test=test,
        answers=texts,
        validation=score,
        trainable=sum(p.numel() for p in backbone.model.parameters() if p.requires_grad),
        stored_bytes=size(backbone),
        seconds={"search": chosen - begun, "training": trained - chosen},
        details={
            "rate": best,
            "epoch": epoch,
            "rates": {f"{rate:g}": score for rate, score in scores.items()},
        },
    )


def _lesson(job: Job, backbone: Backbone, rate: float, epochs: int) -> Lesson:
    training = job.config.training
    return Lesson(
        rate=rate,
        epochs=epochs,
        seed=training.seed,
        metric=job.metric,
        chat=chat_used(job.config.task.chat, Layout(backbone, None)),
        drop_long=training.drop_long,
        max_new_tokens=training.max_new_tokens,
    )
