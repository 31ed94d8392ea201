"""The small search that every method that trains weights gets, so that none is handicapped.

Each rate trains for a sixth of the passes. The best on validation rows then trains in full, and so
does the next lower one: a short training favours large rates (benchmarks/LOG.md, "LoRA and full
fine-tuning without a handicap"). Where rows are so few that all passes are made at once, no rate
trains twice. What is kept is what was best of all these trainings, so that no weights are given up
for ones that are worse on validation rows. A search that was stopped goes on after its last
training.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from softprompt.backbones import Backbone
from softprompt.comparison.job import Job
from softprompt.comparison.learner import Learner
from softprompt.comparison.trainings import Training, Trainings
from softprompt.comparison.weights import Lesson, Material, learn
from softprompt.errors import DivergedError
from softprompt.locale import _, figure

__all__ = ["Searched", "lesson", "searched"]

T = TypeVar("T")

_SHARE = 1 / 6
"""Of the passes, that each rate of a search gets."""


@dataclass(frozen=True)
class Searched(Generic[T]):
    """What a search and the training after it came to.

    Args:
        kept: what was made last, with the best weights in it.
        seconds: `search`, `training`, and `to_best`, from the beginning of the training, where the
            best weights are of it. A full training that is not the best is part of the search.
        details: `rate` and `full_epochs` of the full training that was best; `kept_rate`, `epoch`
            and `epochs` of the training whose weights are kept, and `kept`, whether that was a
            full `training` or of the `search`; `rates` with the validation score of each in the
            search, `search_epochs`, the passes of each there, and `trained` with the score of those
            that were trained in full; None where training diverged.
        history: seconds from the beginning and score of every validation.
    """

    kept: T
    seconds: dict[str, float]
    details: dict[str, Any]
    history: list[list[float]]


def searched(
    job: Job,
    make: Callable[[], T],
    rates: Sequence[float],
    epochs: int | None,
    learner_of: Callable[[T], Learner],
    material: Callable[[Learner, Lesson], Material],
) -> Searched[T]:
    """Trains at the best of some rates. What is kept of it on disk (`Trainings`) stays there until
    the caller has stored what it came to.

    Args:
        job: task and settings.
        make: a fresh start: a model with the weights free that learn, and what goes with it.
        rates: peak rates to choose among; a single one needs no search.
        epochs: passes in full; those of the run's settings, if any, when None.
        learner_of: what learns of what was made.
        material: what is learned from.

    Raises:
        DivergedError: training does not stay finite at any rate.
    """
    epochs = epochs or job.config.training.epochs
    trial = _Trial(job, make, learner_of, material, Trainings(job.folder), epochs)
    scores = trial.scores(rates) if len(rates) > 1 else {}
    chosen = _in_full(scores) or list(rates)
    runs = trial.runs(chosen)
    best = trial.over.best
    assert best is not None, "what was trained was noted"
    kept = trial.with_weights(best)
    rate = chosen[-1]
    if runs:
        rate = max(runs, key=lambda rate: (runs[rate] is best, runs[rate].learned.score))
    run = runs.get(rate)
    training = 0.0 if run is None else run.ended - run.begun
    seconds = {"search": trial.seconds() - training, "training": training}
    if run is best:
        seconds["to_best"] = best.ready - best.begun + best.learned.seconds_to_best
    details = {
        "rate": rate,
        "full_epochs": trial.passes if run is None else run.learned.epochs,
        "search_epochs": trial.search_passes,
        "kept_rate": best.rate,
        "epoch": best.learned.epoch,
        "epochs": best.learned.epochs,
        "kept": "training" if "to_best" in seconds else "search",
        "rates": _told(scores),
        "trained": _told({r: runs[r].learned.score if r in runs else -math.inf for r in chosen}),
    }
    return Searched(kept, seconds, details, trial.history)


def _in_full(scores: Mapping[float, float]) -> list[float]:
    """The rates to train in full: the best of a search, of equals the largest, and the next lower
    one that stays finite; none without a search."""
    finite = sorted(rate for rate in scores if math.isfinite(scores[rate]))
    if not finite:
        return []
    place = finite.index(max(reversed(finite), key=lambda rate: scores[rate]))
    return finite[max(0, place - 1) : place + 1]


def _told(scores: Mapping[float, float]) -> dict[str, float | None]:
    """Scores by rate as JSON has them."""
    return {f"{rate:g}": s if math.isfinite(s) else None for rate, s in scores.items()}


class _Trial(Generic[T]):
    """Trainings of the same start at several rates, one model in memory at a time.

    Args:
        job, make, learner_of, material: as for `searched`.
        over: trainings that are over, some of them before this process.
        epochs: passes in full, as for a `Lesson`.
    """

    def __init__(
        self,
        job: Job,
        make: Callable[[], T],
        learner_of: Callable[[T], Learner],
        material: Callable[[Learner, Lesson], Material],
        over: Trainings,
        epochs: int | None,
    ) -> None:
        self._job, self._make, self._learner_of, self._material = job, make, learner_of, material
        self.over = over
        self._epochs = epochs
        self.passes = self.search_passes = 0
        """Of the training that was begun last, and of each rate in the search."""
        self._begun = time.perf_counter() - over.spent
        self.history = over.history
        self._kept: T | None = None
        self._weights_of: Training | None = None
        """The training whose weights are in memory; None where none are, or it diverged."""

    def seconds(self) -> float:
        """From the beginning of the search, without what lay between its processes."""
        return time.perf_counter() - self._begun

    def scores(self, rates: Sequence[float]) -> dict[float, float]:
        """The validation score of each rate after a few epochs; minus infinity where it diverges.

        Raises:
            DivergedError: all of them do.
        """
        scores: dict[float, float] = {}
        own = self._job.how.search_epochs
        for place, rate in enumerate(rates):
            told = {"rate": rate, "n": place + 1, "of": len(rates)}
            self._job.reporter.stage("rate", told)
            try:
                epochs, share = (self._epochs, _SHARE) if own is None else (own, 1.0)
                run = self._trained(rate, epochs, share)
                scores[rate], self.search_passes = run.learned.score, run.learned.epochs
            except DivergedError:
                scores[rate] = -math.inf
        _refuse_none(scores)
        return scores

    def runs(self, rates: Sequence[float]) -> dict[float, Training]:
        """Trainings in full at those rates where they stay finite.

        Raises:
            DivergedError: none does, and there was no search whose weights are left.
        """
        runs: dict[float, Training] = {}
        for rate in rates:
            self._job.reporter.stage("weights", {"rate": rate})
            try:
                runs[rate] = self._trained(rate, self._epochs, 1.0, last=rate == rates[-1])
            except DivergedError:
                if rate == rates[-1] and self.over.best is None:
                    raise
        return runs

    def with_weights(self, training: Training) -> T:
        """What was made, with the weights of the best training in it."""
        if self._kept is None:
            self._kept = self._make()
        if self._weights_of is not training:
            self.over.restore(self._learner_of(self._kept))
        return self._kept

    def _trained(
        self, rate: float, epochs: int | None, share: float, *, last: bool = False
    ) -> Training:
        before = self.over.find(rate, epochs, share)
        if before is not None:
            return before
        # One model at a time: the next is loaded into the memory of this one.
        self._kept, self._weights_of = None, None
        begun = self.seconds()
        self._kept = self._make()
        learner = self._learner_of(self._kept)
        brief = lesson(self._job, learner.backbone, rate, epochs, share)
        lessons = self._material(learner, brief)
        self.passes = brief.passes(len(lessons.examples))
        full = replace(brief, share=1.0)
        whole = self.passes == full.passes(len(lessons.examples))
        ready = self.seconds()

        def noted(score: float) -> None:
            self.history.append([round(self.seconds(), 3), score])

        progress = self._job.reporter.progress
        # What makes all passes is validated as often as a training in full.
        how = full if whole else brief
        learned = learn(learner, lessons, how, noted=noted, progress=progress)
        training = Training(rate, epochs, share, learned, begun, ready, self.seconds(), whole)
        self.over.add(training, learner, self.history, last=last)
        self._weights_of = training
        return training


def _refuse_none(scores: Mapping[float, float]) -> None:
    """Refuses to go on where no rate stays finite.

    Raises:
        DivergedError: naming the rates.
    """
    if all(map(math.isinf, scores.values())):
        raise DivergedError(
            _("Training diverged at every rate that was tried: {rates}.").format(
                # Translators: between numbers, which may have decimals.
                rates=_(", ").join(figure(rate, "") for rate in scores)
            ),
            _("Try lower rates."),
        )


def lesson(
    job: Job, backbone: Backbone, rate: float, epochs: int | None, share: float = 1.0
) -> Lesson:
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
        share=share,
        batch=training.batch_size,
    )
