"""A prompt that grows: few vectors at first, twice as many while validation rows say that it pays.

    8 vectors -> train -> 16, begun from those -> train -> better beyond chance? -> 32 ...

    lengths/N/      plan, metrics and checkpoints of a length, which goes on as a run does

Each length is a run of its own, warm-started from the best prompt before it. All share contexts and
validation rows; test rows are read once, when the length is settled. It does not know how a prompt
is trained.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from softprompt.errors import DivergedError
from softprompt.evaluation import paired
from softprompt.inference import Contexts, Encoded, row_scores
from softprompt.training.loop import Outcome
from softprompt.training.plan import Plan
from softprompt.training.reporters import Part, Reporter
from softprompt.training.result import answers_of
from softprompt.training.run_directory import MetricsFile, RunDirectory
from softprompt.training.setup import Setup
from softprompt.training.tuning import Tuning

__all__ = ["Growth", "first_length", "lengths_to"]

FIRST = 8
"""Vectors of the shortest prompt."""

LEVEL = 0.05
"""A longer prompt is kept where so large a gain has a smaller chance by luck alone."""


def lengths_to(longest: int) -> tuple[int, ...]:
    """8, 16, 32, ... up to the longest, which is among them; that alone where it is below 8."""
    lengths = [min(FIRST, longest)]
    while lengths[-1] < longest:
        lengths.append(min(2 * lengths[-1], longest))
    return tuple(lengths)


def first_length(run: Path) -> RunDirectory:
    """The folder of the length that a run began with; one without a plan where it does not grow."""
    found = sorted((run / "lengths").glob("*/plan.json"), key=lambda file: int(file.parent.name))
    return RunDirectory(found[0].parent if found else run / "lengths")


class Growth(Tuning):
    """A run that tries longer and longer prompts and keeps the longest that paid.

    Args:
        setup, directory, resolved, reporter: as for a `Tuning`.
    """

    def __init__(
        self,
        setup: Setup,
        directory: RunDirectory,
        resolved: dict[str, Any],
        reporter: Reporter,
    ) -> None:
        super().__init__(setup, directory, resolved, reporter)
        # Records of single lengths go to their own folders, not to the run's.
        self._heard = reporter

    def _train(
        self,
        train: Encoded,
        validation: Encoded,
        contexts: tuple[Contexts, Contexts],
        budget: int,
    ) -> Outcome:
        grown: list[dict[str, Any]] = []
        self.extra = {"growth": grown}
        kept: Outcome | None = None
        seconds = 0.0
        lengths = lengths_to(self.setup.training.grow_to or FIRST)
        for length in lengths:
            folder = self._folder(length)
            part = {"length": length, "longest": lengths[-1]}
            reporter = Part([MetricsFile(folder), self._heard], "length", part)
            work = Tuning(self._of(length, len(lengths), kept), folder, self.resolved, reporter)
            work.fitted = self.fitted
            try:
                outcome = work._train(train, validation, contexts, budget)
            except DivergedError as error:
                if kept is None:
                    raise
                reporter.warning(error.message)
                break
            seconds += outcome.seconds
            self.extra |= work.extra
            about = {"length": length, "score": outcome.members[0].best_score}
            paid = True
            if kept is not None:
                gain, chance = self._gain(kept, outcome, validation, contexts[1])
                paid = gain > 0 and chance < LEVEL
                about |= {"gain": gain, "p_value": chance}
            grown.append({**about, "kept": paid})
            if not paid and outcome.stopped == "interrupted":
                # What was found stays; nothing is settled about the length.
                return replace(kept or outcome, stopped="interrupted", seconds=seconds)
            if not paid:
                break
            kept = outcome
            self._settle(length)
            if outcome.stopped == "interrupted":
                break
        assert kept is not None
        for record in self.directory.records():
            for extra in self.extras:
                extra.record(record)
        return replace(kept, seconds=seconds)

    def _first_plan(self) -> Plan | None:
        stored = first_length(self.directory.path).read("plan.json")
        return Plan.of(stored) if stored is not None else None

    def _folder(self, length: int) -> RunDirectory:
        return RunDirectory(self.directory.path / "lengths" / str(length))

    def _of(self, length: int, count: int, before: Outcome | None) -> Setup:
        """The setup of one length, begun from the best prompt of the length before it."""
        setup, training = self.setup, self.setup.training
        seconds = training.time_budget
        mine: dict[str, Any] = {
            "lengths": (length,),
            "grow_to": None,
            "time_budget": seconds / count if seconds else None,
        }
        if before is None:
            return replace(setup, training=training.model_copy(update=mine))
        mine["initialisations"] = ("prompt",)
        return replace(
            setup,
            training=training.model_copy(update=mine),
            initialisation="prompt",
            source=before.members[0].best_PX,
        )

    def _gain(
        self, before: Outcome, after: Outcome, validation: Encoded, contexts: Contexts
    ) -> tuple[float, float]:
        """Mean gain of the longer prompt over rows, and the chance of it if there were none."""
        best = [outcome.members[0].best_PX for outcome in (before, after)]
        first, second = (
            row_scores(self.setup.task, validation, answers, self.setup.metric)
            for answers in answers_of(self.setup, validation, best, contexts)
        )
        return sum(second) / len(second) - sum(first) / len(first), paired(first, second)

    def _settle(self, length: int) -> None:
        """The metrics of the length that is kept are the run's."""
        shutil.copyfile(self._folder(length).metrics, self.directory.metrics)
