"""A wider search before a run: rounds of short trainings, a population each, then the best in full.

    encode rows -> cache contexts -> propose candidates -> train them shortly -> their scores
    -> propose others -> ... -> train the best of all rounds as `tune` does -> measure -> save

    search.jsonl    one line a candidate that was tried, written when its round has ended
    rounds/N/       plan, metrics and checkpoints of a round, which goes on as a run does

All rounds share contexts, plan and validation rows; test rows are read once, by the run at the end.
It knows neither how candidates are proposed nor how they are trained.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from softprompt.backbones import Backbone
from softprompt.errors import DivergedError, SoftPromptError, UsageError
from softprompt.inference import Contexts, Encoded
from softprompt.locale import _
from softprompt.prompts.parametrisations import PARAMETRISATIONS
from softprompt.prompts.placements import pieces
from softprompt.storage import write_bytes
from softprompt.tasks import Task
from softprompt.training.candidates import Candidate, widely_around
from softprompt.training.checkpoint import Checkpoint
from softprompt.training.checks import check_beginnings
from softprompt.training.config import SearchConfig, validated
from softprompt.training.loop import Outcome
from softprompt.training.objectives import OBJECTIVES
from softprompt.training.plan import Plan, epochs_for
from softprompt.training.proposals import Space, propose
from softprompt.training.reporters import Part, Reporter
from softprompt.training.run_directory import MetricsFile, RunDirectory
from softprompt.training.schedule import steps_per_epoch
from softprompt.training.setup import Setup
from softprompt.training.tune import tune
from softprompt.training.tuning import Tuning

__all__ = ["ROUNDS", "Search", "round_directory", "search"]

ROUNDS = 5
"""Rounds of a search that does not say."""

POPULATION = 8
"""Candidates of a round that does not say."""


def search(
    task: Task,
    backbone: Backbone,
    output: str | Path,
    **settings: Any,
) -> dict[str, Any]:
    """Searches learning rate, initialisation, parametrisation and length, then trains the best.

    Args:
        task, backbone, output: as for `tune`; a search that was begun there goes on.
        settings: what `tune` takes by name, and `rounds` and `share` of a `SearchConfig`; a round
            trains `population` candidates.

    Returns:
        what `tune` returns, and `search`: every candidate with its validation score.

    Raises:
        SoftPromptError: what is wrong with data, settings or folder, or Optuna is absent.
    """
    mine = {name: settings.pop(name) for name in SearchConfig.model_fields if name in settings}
    how = validated("search", SearchConfig, {"rounds": ROUNDS, **mine})
    return tune(task, backbone, output, make=partial(Search, how=how), **settings)


def round_directory(run: Path, number: int) -> RunDirectory:
    """The folder of a round, 1 for the first, below that of its run."""
    return RunDirectory(run / "rounds" / str(number))


class Search(Tuning):
    """A run whose population is what was best in rounds before it.

    Args:
        setup, directory, resolved, reporter: as for a `Tuning`.
        how: rounds and their length.
    """

    def __init__(
        self,
        setup: Setup,
        directory: RunDirectory,
        resolved: dict[str, Any],
        reporter: Reporter,
        *,
        how: SearchConfig,
    ) -> None:
        resolved = {**resolved, "search": how.model_dump(mode="json")}
        self.file = directory.path / "search.jsonl"
        self.trials = _read(self.file)
        super().__init__(_opened(setup, self.trials), directory, resolved, reporter)
        self.how, self._heard = how, reporter
        self.extra = {"search": self.trials}

    def _train(
        self,
        train: Encoded,
        validation: Encoded,
        contexts: tuple[Contexts, Contexts],
        budget: int,
    ) -> Outcome:
        """The rounds that are left, and then the run itself."""
        if self.earlier is None:
            first = self.trials[-1]["round"] + 1 if self.trials else 1
            for number in range(first, self.how.rounds + 1):
                setup = self._short(contexts[0])
                folder = round_directory(self.directory.path, number)
                candidates = self._proposed(number, setup)
                about = {"round": number, "rounds": self.how.rounds}
                reporter = Part([MetricsFile(folder), self._heard], "round", about)
                work = Tuning(setup, folder, self.resolved, reporter, candidates)
                work.fitted = self.fitted
                try:
                    outcome = work._train(train, validation, contexts, budget)
                except DivergedError as error:
                    reporter.warning(error.message)
                    self._note(number, self._unscored(number))
                    continue
                if outcome.stopped == "interrupted":
                    return self._best_so_far(outcome, train)
                self._note(number, outcome.population)
            best = self._ranked()[: self.setup.training.survivors]
            self.candidates = [_candidate(trial) for trial in best]
        return super()._train(train, validation, contexts, budget)

    def _first_plan(self) -> Plan | None:
        return self.earlier or self._plan_of(1)

    def _plan_of(self, number: int) -> Plan | None:
        """What a round decided; None where it has not begun."""
        stored = round_directory(self.directory.path, number).read("plan.json")
        return Plan.of(stored) if stored is not None else None

    def _proposed(self, number: int, setup: Setup) -> tuple[Candidate, ...] | None:
        """The candidates of a new round; None for one that was begun, whose plan names them."""
        if self._plan_of(number) is not None:
            return None
        training = setup.training
        space = Space(
            learning_rates=training.learning_rates,
            initialisations=setup.initialisations(),
            parametrisations=training.parametrisations,
            lengths=training.lengths or (setup.layout.length,),
        )
        plan = self._plan_of(1)
        count = len(plan.candidates) if plan else training.population or POPULATION
        candidates = propose(space, self.trials, count, training.seed)
        if plan:
            # The first round's steps for all, so that scores of different rounds can be compared.
            same = replace(plan, candidates=[candidate.as_dict() for candidate in candidates])
            round_directory(self.directory.path, number).write("plan.json", same.as_dict())
        return candidates

    def _short(self, contexts: Contexts) -> Setup:
        """The setup of a round."""
        training = self.setup.training
        epochs = training.epochs or epochs_for(
            steps_per_epoch(contexts.buckets, training.batch_size)
        )
        seconds = training.time_budget
        short = {
            "epochs": max(1, round(self.how.share * epochs)),
            "survivors": training.population,
            "halvings": (),
            "time_budget": seconds / self.how.rounds if seconds else None,
        }
        return replace(self.setup, training=training.model_copy(update=short))

    def _note(self, number: int, population: Sequence[Mapping[str, Any]]) -> None:
        """Writes down the trials of a finished round; only the best one's checkpoints stay."""
        ordered = sorted(population, key=lambda about: int(about["number"]))
        # What diverged before a validation has the score of what it began with, and says nothing.
        ordered = [
            about if about.get("left") is None or about["best_step"] else {**about, "score": None}
            for about in ordered
        ]
        self.trials += [{"round": number, **about} for about in ordered]
        lines = (json.dumps(trial, ensure_ascii=False, allow_nan=False) for trial in self.trials)
        write_bytes(self.file, "".join(line + "\n" for line in lines).encode())
        best = self._ranked()[:1]
        for other in range(1, number + 1):
            if not best or other != best[0]["round"]:
                folder = round_directory(self.directory.path, other).checkpoints
                shutil.rmtree(folder, ignore_errors=True)

    def _unscored(self, number: int) -> list[dict[str, Any]]:
        """The candidates of a round that left no scores."""
        plan = self._plan_of(number)
        return [{**about, "score": None} for about in plan.candidates] if plan else []

    def _ranked(self) -> list[dict[str, Any]]:
        """The trials that have a score, the best first."""
        scored = [trial for trial in self.trials if trial["score"] is not None]
        return sorted(scored, key=lambda trial: -float(trial["score"]))

    def _best_so_far(self, interrupted: Outcome, train: Encoded) -> Outcome:
        """What the interrupted round found, or the best of the rounds before where it is better."""
        best = self._ranked()[:1]
        if not best or best[0]["score"] <= interrupted.members[0].best_score:
            return interrupted
        number = best[0]["round"]
        folder, plan = round_directory(self.directory.path, number), self._plan_of(number)
        checkpoint = Checkpoint.newest(folder.checkpoints)
        if checkpoint is None or plan is None:
            return interrupted
        place = [about["number"] for about in plan.candidates].index(best[0]["number"])
        (member,) = self.setup.members([_candidate(best[0])], train.rows)
        prefix, tensors = f"member.{place}.", checkpoint.tensors.items()
        mine = {k.removeprefix(prefix): tensor for k, tensor in tensors if k.startswith(prefix)}
        member.restore(mine, checkpoint.state["members"][place])
        return replace(
            interrupted,
            members=(member,),
            population=(member.report(),),
            best_step=member.best_step,
        )


def _opened(setup: Setup, trials: Sequence[Mapping[str, Any]]) -> Setup:
    """The setup with every axis that is not fixed opened, and rows laid out for the longest prompt.

    Half of a time budget is the rounds', half the run's. What was tried stays to be tried, also
    where an older version has opened an axis further.
    """
    training, length = setup.training, setup.layout.length
    if training.grow_to is not None:
        raise UsageError(
            _("A search tries lengths at once; training.grow_to tries them one after another."),
            _("Leave it out, or give the search training.lengths."),
        )
    own = setup.prompt.parametrisation
    names = dict.fromkeys((own, *PARAMETRISATIONS.names()))
    if setup.prompt.method is not None or own != "direct":
        # Who names a method, or a parametrisation that is not the usual one, wants that one.
        names = dict.fromkeys((own, *(trial["parametrisation"] for trial in trials)))
    lengths: tuple[int, ...] = training.lengths or (length,)
    # A prompt in several pieces has one length: shorter ones stand in other places.
    if not training.lengths and not setup.slots and pieces(setup.layout.placement or "") < 2:
        longer = (2 * length,) if _possible(setup, 2 * length) else ()
        lengths = (length, max(1, length // 2), *longer)
        lengths = (*lengths, *(trial["length"] for trial in trials))
    wide = {
        "population": training.population or POPULATION,
        "learning_rates": training.learning_rates or widely_around(training.learning_rate),
        "parametrisations": training.parametrisations or tuple(names),
        # The template's slots say how long a prompt is.
        "lengths": () if setup.slots else tuple(dict.fromkeys(lengths)),
        "time_budget": training.time_budget / 2 if training.time_budget else None,
    }
    longest = length if setup.slots else max(lengths)
    return replace(
        setup,
        training=training.model_copy(update=wide),
        layout=replace(setup.layout, length=longest),
    )


def _possible(setup: Setup, length: int) -> bool:
    """Whether prompts of a length can begin, and no row is too long for them alone."""
    longer, task = replace(setup, layout=replace(setup.layout, length=length)), setup.task
    learned = task.train, OBJECTIVES.get(setup.objective).answers
    try:
        check_beginnings(longer)
        for rows, answers in (learned, (task.selection_rows, "choices"), (task.test, "choices")):
            kept = longer.encode(rows, answers).rows
            if len(kept) < len(setup.encode(rows, answers).rows):
                return False
    except SoftPromptError:
        return False
    return True


def _candidate(trial: Mapping[str, Any]) -> Candidate:
    return Candidate(**{field.name: trial[field.name] for field in fields(Candidate)})


def _read(file: Path) -> list[dict[str, Any]]:
    """The trials that were written down.

    Raises:
        UsageError: the file is damaged.
    """
    needed = {"round", "score", *(field.name for field in fields(Candidate))}
    try:
        trials = [dict(json.loads(line)) for line in file.read_text("utf-8").splitlines()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError, TypeError):
        trials = [{}]
    if not all(needed <= set(trial) for trial in trials):
        raise UsageError(
            _("{file} is damaged or cannot be read.").format(file=file), _("Start the search anew.")
        )
    return trials
