"""The small search that every method that trains weights gets, so that none is handicapped.

Each rate trains for a few epochs; the best on validation rows then trains in full.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from softprompt.backbones import Backbone
from softprompt.comparison.job import Job
from softprompt.comparison.learner import Learner
from softprompt.comparison.weights import Learned, Lesson, Material, learn
from softprompt.errors import DivergedError

__all__ = ["Searched", "lesson", "searched"]

T = TypeVar("T")


@dataclass(frozen=True)
class Searched(Generic[T]):
    """What a search and the training after it came to.

    Args:
        kept: what was made last, with the trained weights in it.
        learned: what the training came to.
        seconds: `search`, `training`, `to_best`.
        details: `rate`, `epoch`, `epochs`, and `rates` with the validation score of each, None
            where training diverged.
    """

    kept: T
    learned: Learned
    seconds: dict[str, float]
    details: dict[str, Any]


def searched(
    job: Job,
    make: Callable[[], T],
    rates: Sequence[float],
    epochs: int,
    learner_of: Callable[[T], Learner],
    material: Callable[[Learner, Lesson], Material],
) -> Searched[T]:
    """Trains at the best of some rates.

    Args:
        job: task and settings.
        make: a fresh start: a model with the weights free that learn, and what goes with it.
        rates: peak rates to choose among; a single one needs no search.
        epochs: passes at the best.
        learner_of: what learns of what was made.
        material: what is learned from.

    Raises:
        DivergedError: training does not stay finite at any rate, or at the best one.
    """
    begun = time.perf_counter()
    scores = _scores(job, make, rates if len(rates) > 1 else (), learner_of, material)
    best = max(scores, key=lambda rate: scores[rate]) if scores else rates[0]
    chosen = time.perf_counter()
    job.reporter.stage("weights", {"rate": best})
    kept = make()
    learner = learner_of(kept)
    brief = lesson(job, learner.backbone, best, epochs, job.how.least_steps)
    lessons = material(learner, brief)
    ready = time.perf_counter()
    learned = learn(learner, lessons, brief, progress=job.reporter.progress)
    trained = time.perf_counter()
    seconds = {
        "search": chosen - begun,
        "training": trained - chosen,
        "to_best": ready - chosen + learned.seconds_to_best,
    }
    details = {
        "rate": best,
        "epoch": learned.epoch,
        "epochs": learned.epochs,
        "rates": {f"{r:g}": s if math.isfinite(s) else None for r, s in scores.items()},
    }
    return Searched(kept, learned, seconds, details)


def _scores(
    job: Job,
    make: Callable[[], T],
    rates: Sequence[float],
    learner_of: Callable[[T], Learner],
    material: Callable[[Learner, Lesson], Material],
) -> dict[float, float]:
    """The validation score of each rate after a few epochs; minus infinity where it diverges.

    Raises:
        DivergedError: all of them do.
    """
    scores: dict[float, float] = {}
    for place, rate in enumerate(rates):
        job.reporter.stage("rate", {"rate": rate, "n": place + 1, "of": len(rates)})
        learner = learner_of(make())
        brief = lesson(job, learner.backbone, rate, job.how.search_epochs, job.how.least_steps // 2)
        taught = material(learner, brief)
        try:
            scores[rate] = learn(learner, taught, brief, progress=job.reporter.progress).score
        except DivergedError:
            scores[rate] = -math.inf
        # One model at a time: the next is loaded into the memory of this one.
        del learner, taught
    if scores and all(map(math.isinf, scores.values())):
        raise DivergedError(
            f"Training diverged at every rate that was tried: {', '.join(map(str, scores))}.",
            "Try lower rates.",
        )
    return scores


def lesson(job: Job, backbone: Backbone, rate: float, epochs: int, least_steps: int) -> Lesson:
    """How a rate is tried or trained with."""
    training = job.config.training
    return Lesson(
        rate=rate,
        epochs=epochs,
        seed=training.seed,
        metric=job.metric,
        chat=job.chat(backbone),
        drop_long=training.drop_long,
        max_new_tokens=training.max_new_tokens,
        least_steps=least_steps,
    )
