"""From a task and a frozen backbone to a trained, measured and saved soft prompt.

    encode rows -> cache contexts -> plan -> train -> calibrate on validation rows
    -> measure on test rows, once -> save

Everything lands in the run's folder. It knows the order of things; each thing itself is elsewhere.

Shapes: P vectors, D hidden size.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from softprompt.backbones import free_memory_budget
from softprompt.errors import DataError
from softprompt.evaluation import value
from softprompt.inference import Answers, Contexts, Encoded, measure, suited_score
from softprompt.inference.context_store import ContextStore, cache_folder
from softprompt.inference.contexts import WORTH_SECONDS
from softprompt.locale import _
from softprompt.prompts.artifact import artifact_bytes
from softprompt.training.cache_precision import loss_change
from softprompt.training.candidates import Candidate
from softprompt.training.checkpoint import Checkpoint
from softprompt.training.curves import draw_curves
from softprompt.training.loop import Course, Loop, Outcome, TrainingRows
from softprompt.training.memory import PASS_SHARE, fit_loop
from softprompt.training.objectives import OBJECTIVES
from softprompt.training.plan import (
    Plan,
    check_same,
    choose_threads,
    measure_step,
    refuse_changed_settings,
    step_of,
    threads_of,
)
from softprompt.training.readout import Fitted, fit_readout
from softprompt.training.reporters import REPORTERS, Reporter, Reporters
from softprompt.training.result import answers_of, finish, peak_memory
from softprompt.training.run_directory import MetricsFile, RunDirectory
from softprompt.training.selection import calibrated, right_places
from softprompt.training.setup import Setup

__all__ = ["Tuning"]


class Tuning:
    """One run; `run` does it all.

    Args:
        setup: what it works with.
        directory: where it writes.
        resolved: the configuration to write down.
        reporter: hears of it.
        candidates: the population of a new run; the setup's own when absent.
    """

    def __init__(
        self,
        setup: Setup,
        directory: RunDirectory,
        resolved: dict[str, Any],
        reporter: Reporter,
        candidates: Sequence[Candidate] | None = None,
    ) -> None:
        self.setup, self.directory, self.resolved = setup, directory, resolved
        self.candidates = candidates
        self.extras: list[Reporter] = []
        self.fitted: Fitted | None = None
        self.extra: dict[str, Any] = {}
        """What the result tells beside the rest."""
        stored = directory.read("plan.json")
        self.earlier = Plan.of(stored) if stored is not None else None
        self.reporter = reporter

    def run(self) -> dict[str, Any]:
        """Does what is left of the run and returns its result."""
        begun = time.perf_counter()
        before = self.directory.read("config.json")
        if before is None:
            self.directory.refuse_used()
        else:
            self._refuse_other(before)
        done = self.directory.read("result.json")
        if done is not None and done["stopped"] != "interrupted":
            # Named from here, wherever the run was begun.
            return {**done, "prompt": str(self.directory.prompt)}
        # Rows that do not fit are refused before anything is written, the test rows' included.
        rows = self._encode()
        names = self.setup.training.reporters
        self.extras = [REPORTERS.get(name)(self.directory.path, self.resolved) for name in names]
        self.reporter = Reporters([MetricsFile(self.directory), self.reporter, *self.extras])
        if before is None:
            self.directory.create(self.resolved)
        result: dict[str, Any] | None = None
        try:
            with self.directory.alone():
                result = self._run(begun, *rows)
        finally:
            draw_curves(self.directory.records(), self.directory.curves, self.setup.metric)
            self.reporter.close(result)
        return result

    def _refuse_other(self, before: Mapping[str, Any]) -> None:
        """Refuses to go on, under other settings or with other data, with what was begun here.

        Raises:
            UsageError: what differs, by name.
        """
        plan = self._first_plan()
        if plan is not None:
            self._check_same(plan)
        # A run that says nothing of a search was begun without one.
        without = {"search": {"rounds": 0}} if "search" in self.resolved else {}
        refuse_changed_settings({**without, **before}, self.resolved)

    def _check_same(self, plan: Plan) -> None:
        identity = self.setup.backbone.identity
        fingerprints = {"weights": identity.weights, "tokenizer": identity.tokenizer}
        check_same(plan, self.setup.task.hashes, fingerprints)

    def _run(
        self, begun: float, train: Encoded, validation: Encoded, test: Encoded
    ) -> dict[str, Any]:
        for warning in self.setup.warnings:
            self.reporter.warning(warning)
        budget = self._budget()
        contexts = self._contexts(train, validation, budget)
        self.fitted = fit_readout(self.setup, train, validation, contexts, self.reporter)
        encoded = time.perf_counter()
        outcome = self._train(train, validation, contexts, budget)
        trained = time.perf_counter()
        metrics = finish(
            self.setup,
            outcome,
            self.fitted,
            validation,
            contexts[1],
            test,
            self.directory,
            self.resolved,
            self.reporter,
        )
        now = time.perf_counter()
        seconds = {
            "context": encoded - begun,
            "training": outcome.seconds,
            "evaluation": now - trained,
            "total": now - begun,
        }
        result = {
            "prompt": str(self.directory.prompt),
            **metrics,
            "metric": self.setup.metric,
            "best_step": outcome.best_step,
            "steps": outcome.steps,
            "stopped": outcome.stopped,
            "artifact_bytes": artifact_bytes(self.directory.prompt),
            "seconds": {name: round(number, 3) for name, number in seconds.items()},
            "peak_memory_bytes": peak_memory(),
            "warnings": list(self.setup.warnings),
            **self.extra,
        }
        self.directory.write("result.json", result)
        return result

    def _first_plan(self) -> Plan | None:
        """The plan that was made first in this folder, by a part of the run where it has parts."""
        return self.earlier

    def _budget(self) -> int:
        first = self._first_plan()
        if first is not None:
            return first.cache_bytes
        return free_memory_budget(self.setup.training.cache_share, self.setup.backbone.device)

    def _encode(self) -> tuple[Encoded, Encoded, Encoded]:
        setup = self.setup
        train = setup.encode(setup.task.train, OBJECTIVES.get(setup.objective).answers)
        validation = setup.encode(setup.task.selection_rows, "choices")
        test = setup.encode(setup.task.test, "choices")
        parts = {_("training"): train, _("validation"): validation}
        if setup.task.test:
            parts[_("test")] = test
        for name, encoded in parts.items():
            if encoded.dropped:
                self.reporter.warning(
                    _(
                        "{n} {part} rows do not fit into the model's window and are left out."
                    ).format(n=encoded.dropped, part=name)
                )
            if not encoded.examples:
                raise DataError(
                    _("No {part} row fits into the window of {window} tokens.").format(
                        part=name, window=setup.backbone.window
                    ),
                    _(
                        "Shorten the texts or the prompt (--length), or choose a model with a "
                        "longer window."
                    ),
                )
        return train, validation, test

    def _contexts(
        self, train: Encoded, validation: Encoded, budget: int
    ) -> tuple[Contexts, Contexts]:
        backbone = self.setup.backbone
        total = len(train.rows) + len(validation.rows)
        store = self._store()
        # A bucket of whole batches leaves few small ones at the end of an epoch.
        size = 8 * self.setup.training.batch_size
        precision = self.setup.training.cache_precision
        first = Contexts(backbone, train.examples, budget, size, store, precision)
        second = Contexts(backbone, validation.examples, budget, store=store, precision=precision)
        parts = [first.estimate(), second.estimate()]
        seconds = sum(part.seconds for part in parts)
        about = {"rows": total, "bytes": sum(part.bytes for part in parts)}
        self.reporter.stage("context", {**about, "estimate_seconds": seconds})
        store_all = self.setup.training.disk_cache == "on" or seconds > WORTH_SECONDS
        first.fill(lambda done, _of: self.reporter.progress(done, total), store_all=store_all)
        second.budget = max(1, budget - first.bytes) if budget else 0
        rows = len(train.rows)
        second.fill(
            lambda done, _of: self.reporter.progress(rows + done, total), store_all=store_all
        )
        for trouble in dict.fromkeys((first.trouble, second.trouble)):
            if trouble:
                again = _("Contexts are computed again where needed.")
                self.reporter.warning(f"{trouble} {again}")
        return first, second

    def _store(self) -> ContextStore | None:
        """Contexts on disk, unless they are switched off."""
        root = cache_folder()
        if self.setup.training.disk_cache == "off" or root is None:
            return None
        return ContextStore(self.setup.backbone, root, self.setup.training.cache_precision)

    def _train(
        self,
        train: Encoded,
        validation: Encoded,
        contexts: tuple[Contexts, Contexts],
        budget: int,
    ) -> Outcome:
        setup = self.setup
        wanted = OBJECTIVES.get(setup.objective).answers
        labels = setup.task.labels
        gold = [labels.index(str(r.answer)) if wanted == "choices" else 0 for r in train.rows]

        def validate(prompts: Sequence[Tensor]) -> list[tuple[float, dict[str, Any]]]:
            return _scores(setup, validation, contexts[1], self.fitted, prompts)

        if self.earlier is None:
            candidates = tuple(self.candidates or setup.candidates())
        else:
            candidates = tuple(Candidate(**about) for about in self.earlier.candidates)
        loop = Loop(
            backbone=setup.backbone,
            members=setup.members(candidates, train.rows),
            rows=TrainingRows(train, gold, contexts[0]),
            validate=validate,
            config=setup.training,
            objective=setup.objective,
            depth=setup.prompt.depth,
            folder=self.directory.path,
            reporter=self.reporter,
        )
        plan = self._plan(loop, train, validation, budget)
        checkpoint = Checkpoint.newest(self.directory.checkpoints)
        if checkpoint is None or not checkpoint.step:
            # Before the first step nothing is done that is not done again.
            self.directory.rewind(-1)
        else:
            self.directory.rewind(checkpoint.step)
            loop.restore(checkpoint)
        about = {"estimate_seconds": plan.estimate_seconds, "steps": plan.steps}
        self.reporter.stage("training", {**about, "population": len(loop.members)})
        if setup.training.cache_precision != "full":
            self.extra["cache_loss_change"] = plan.cache_loss_change
        with threads_of(plan.threads):
            return loop.run(plan.course)

    def _plan(self, loop: Loop, train: Encoded, validation: Encoded, budget: int) -> Plan:
        """The plan of the run that goes on, or a new one, written down."""
        setup, identity = self.setup, self.setup.backbone.identity
        fingerprints = {"weights": identity.weights, "tokenizer": identity.tokenizer}
        if self.earlier is not None:
            self._check_same(self.earlier)
            return self.earlier
        self._fit_memory(loop)
        step = step_of(loop, setup.training, setup.training.survivors)
        threads = choose_threads(setup.backbone.device, step)
        with threads_of(threads):
            course, seconds = measure_step(loop, setup.training)
        assert setup.layout.placement is not None
        plan = Plan(
            placement=setup.layout.placement,
            candidates=[member.candidate.as_dict() for member in loop.members],
            halvings=course.halvings,
            part=course.part,
            threads=threads,
            objective=setup.objective,
            metric=setup.metric,
            chat=setup.chat,
            dtype=setup.backbone.dtype,
            cache_bytes=budget,
            cache_loss_change=loss_change(loop),
            steps=course.steps,
            steps_per_epoch=loop.per_epoch,
            rows={
                "train": len(train.rows),
                "validation": len(validation.rows),
                "test": len(setup.task.test),
            },
            dropped={"train": train.dropped, "validation": validation.dropped},
            data=dict(setup.task.hashes),
            backbone=fingerprints,
            estimate_seconds=round(seconds, 1),
        )
        self.directory.write("plan.json", plan.as_dict())
        return plan

    def _fit_memory(self, loop: Loop) -> None:
        """Shrinks population and passes to what memory holds."""
        wanted = len(loop.members)
        count, part = fit_loop(loop, free_memory_budget(PASS_SHARE, self.setup.backbone.device))
        if count < wanted:
            self.reporter.warning(
                _("Memory holds {n} of the {wanted} prompts of the population; {n} train.").format(
                    n=count, wanted=wanted
                )
            )
        del loop.members[count:]
        loop.course = Course(0, (), part)


def _scores(
    setup: Setup,
    validation: Encoded,
    contexts: Contexts,
    fitted: Fitted | None,
    prompts: Sequence[Tensor],
) -> list[tuple[float, dict[str, Any]]]:
    """The validation score of each prompt, and the numbers behind it for the record.

    Each record also has the score of all prompts `together`, and with the readout where there is
    one, where that may be kept: it costs no pass of its own.
    """
    found: list[tuple[float, dict[str, Any]]] = []
    everyone = answers_of(setup, validation, prompts, contexts)
    for answers in everyone:
        metric = measure(setup.task, validation, answers, slice_column=setup.slice_column)
        record: dict[str, Any] = {
            name: number for name, number in metric.items() if isinstance(number, float)
        }
        if "slices" in metric:
            parts = metric["slices"].items()
            record["slices"] = {name: value(part, setup.metric) for name, part in parts}
        score = suited_score(setup.task, validation, answers, setup.metric)
        found.append((score, record))
    several = len(everyone) > 1 and setup.task.choices and setup.training.ensemble != "off"
    if several or fitted is not None:
        leader = max(range(len(found)), key=lambda place: found[place][0])
        whole = Answers.together(everyone if several else everyone[leader : leader + 1])
        # As the selection has it: before the first step prompts are sure of what they do not know.
        whole = calibrated(whole, right_places(setup, validation))
        if fitted is not None:
            whole = replace(whole, readout=fitted.validation_NC)
        together = suited_score(setup.task, validation, whole, setup.metric)
        for _score, record in found:
            record["together"] = together
    return found
