"""The small search that every method that trains weights gets, so that none is handicapped.

Each rate trains for a few epochs; the best on validation rows then trains in full. What is kept is
what was best of both, so that no weights are given up for ones that are worse on validation rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save as save_tensors

from softprompt.backbones import Backbone
from softprompt.comparison.job import Job
from softprompt.comparison.learner import Learner
from softprompt.comparison.weights import Learned, Lesson, Material, learn
from softprompt.errors import DivergedError
from softprompt.storage import write_bytes

__all__ = ["Searched", "lesson", "searched"]

T = TypeVar("T")


@dataclass(frozen=True)
class Searched(Generic[T]):
    """What a search and the training after it came to.

    Args:
        kept: what was made last, with the trained weights in it.
        learned: what the training came to.
        seconds: `search`, `training`, `to_best`.
        details: `rate`, `epoch`, `epochs`, `rates` with the validation score of each, None where
            training diverged, and `kept`: the weights of the `training` or of the `search`.
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
    best_searched = _Best(job.folder / "searched.safetensors")
    several = rates if len(rates) > 1 else ()
    scores = _scores(job, make, several, learner_of, material, best_searched)
    best = max(scores, key=lambda rate: scores[rate]) if scores else rates[0]
    chosen = time.perf_counter()
    job.reporter.stage("weights", {"rate": best})
    kept = make()
    learner = learner_of(kept)
    brief = lesson(job, learner.backbone, best, epochs, job.how.least_steps)
    lessons = material(learner, brief)
    ready = time.perf_counter()
    learned = learn(learner, lessons, brief, progress=job.reporter.progress)
    kept_from = "training"
    if best_searched.learned is not None and best_searched.learned.score > learned.score:
        kept_from, learned = "search", best_searched.restore(learner)
    best_searched.remove()
    trained = time.perf_counter()
    seconds = {
        "search": chosen - begun,
        "training": trained - chosen,
        "to_best": learned.seconds_to_best + (0 if kept_from == "search" else ready - chosen),
    }
    details = {
        "rate": best,
        "epoch": learned.epoch,
        "epochs": learned.epochs,
        "kept": kept_from,
        "rates": {f"{r:g}": s if math.isfinite(s) else None for r, s in scores.items()},
    }
    return Searched(kept, learned, seconds, details)


class _Best:
    """The best weights of a search, on disk, where they take no memory from the training after it.

    Args:
        file: where they are kept.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.learned: Learned | None = None

    def offer(self, learner: Learner, learned: Learned) -> None:
        """Keeps weights that are better than those before."""
        if self.learned is None or learned.score > self.learned.score:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            tensors = {str(n): p.detach().cpu().contiguous() for n, p in enumerate(learner.free)}
            write_bytes(self._file, save_tensors(tensors))
            self.learned = learned

    def restore(self, learner: Learner) -> Learned:
        """Puts the weights into a learner of the same kind; returns what they had come to."""
        assert self.learned is not None
        with torch.no_grad(), safe_open(self._file, framework="pt") as file:
            for number, parameter in enumerate(learner.free):
                parameter.copy_(file.get_tensor(str(number)))
        return self.learned

    def remove(self) -> None:
        """Removes the file."""
        self._file.unlink(missing_ok=True)


def _scores(
    job: Job,
    make: Callable[[], T],
    rates: Sequence[float],
    learner_of: Callable[[T], Learner],
    material: Callable[[Learner, Lesson], Material],
    best: _Best,
) -> dict[float, float]:
    """The validation score of each rate after a few epochs; minus infinity where it diverges.

    The weights of the best one go to `best`.

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
            learned = learn(learner, taught, brief, progress=job.reporter.progress)
            scores[rate] = learned.score
            best.offer(learner, learned)
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
