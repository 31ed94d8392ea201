"""A comparison in a folder: every method measured once, written down, and all of them side by side.

    config.json             task, backbone, prompt, training, and what is compared
    backbone.json           precision and fingerprints of the backbone, once it was loaded
    methods/NAME/           what a method keeps; result.json when it is measured, error.json where
                            it could not be
    methods/NAME/rows-N/    the same with N training rows, for the learning curve
    report.json             all methods, what their differences are worth, a recommendation
    report.html             the same as a page, in the language in use

A comparison goes on with the methods and sizes that have no result, after a stop or because they
were added. It does not know how a method works.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from softprompt.backbones import Backbone
from softprompt.comparison.cell import Cell
from softprompt.comparison.config import CompareConfig
from softprompt.comparison.domain import domain_of
from softprompt.comparison.escalation import Held, Step, judged, not_measured, steps_of
from softprompt.comparison.files import hashes
from softprompt.comparison.general import halves
from softprompt.comparison.given import (
    CHANGEABLE,
    limited,
    loaded_for,
    other_of,
    refuse_absent,
    refuse_curve,
    refuse_fixed,
    refuse_settings,
    refuse_sizes,
    refuse_unused,
    task_of,
    up_to_date,
)
from softprompt.comparison.job import Job, metric_of
from softprompt.comparison.measures import measured, quality
from softprompt.comparison.methods import METHODS, Method, refuse
from softprompt.comparison.page import page
from softprompt.comparison.pinned import Pinned
from softprompt.comparison.report import report
from softprompt.errors import UsageError
from softprompt.locale import _
from softprompt.storage import write_bytes, write_json
from softprompt.tasks import Task
from softprompt.training import Reporter, RunConfig
from softprompt.training.checks import check_metric
from softprompt.training.config import validated
from softprompt.training.plan import refuse_changed
from softprompt.training.run_directory import RunDirectory

__all__ = ["CHANGEABLE", "Comparison", "compare"]


class Comparison:
    """A comparison in a folder.

    Args:
        folder: where `begin` has written what is compared.

    Raises:
        UsageError: the folder holds none.
    """

    def __init__(self, folder: Path) -> None:
        self.directory = RunDirectory(folder)
        stored = self.directory.read("config.json")
        if stored is None or not isinstance(stored.get("comparison"), dict):
            raise UsageError(
                _("{folder} holds no comparison.").format(folder=folder),
                _("Name the folder that `softprompt compare` was given with --output."),
            )
        how = dict(stored["comparison"])
        self.how = validated("compare", CompareConfig, up_to_date(how))
        self.config = RunConfig.from_json(stored.get("run"))
        self._data = stored.get("data")

    @classmethod
    def begin(cls, folder: Path, config: RunConfig, how: CompareConfig) -> Comparison:
        """A new comparison in an empty or absent folder.

        Raises:
            UsageError: the folder is in use, a method is unknown, or a method or the metric needs a
                package that is absent.
            ConfigError: a setting that nothing would come of.
            DataError: a file cannot be read, or the task has no test rows.
            SoftPromptError: the backbone cannot be loaded, or cannot take the prompt's settings.
        """
        refuse_absent(how)
        refuse_unused(config, how)
        directory = RunDirectory(folder)
        directory.refuse_used("compare")
        task = task_of(config)
        if "methods" not in how.model_fields_set and not task.choices:
            # Taking the methods that are usual is no mistake where one of them does not apply.
            usual = tuple(n for n in how.methods if not METHODS.get(n).choices_only)
            how = how.model_copy(update={"methods": usual})
        check_metric(task, metric_of(config, task))
        refuse_sizes(task, config, how)
        halves(Path(how.general) if how.general else None)
        if how.other is not None:
            other_of(how)
        job = Job(task, config, how, folder, Reporter())
        if how.names_domain:
            domain_of(job)
        refuse_settings(job)
        directory.create(
            {
                "run": config.model_dump(mode="json"),
                "comparison": how.model_dump(mode="json"),
                "data": {**task.hashes, **hashes(how)},
            }
        )
        return cls(folder)

    def change(self, how: CompareConfig) -> None:
        """Takes settings that no measurement rests on; what was measured stays.

        Args:
            how: of which those that were given are taken, all of them in `CHANGEABLE`.

        Raises:
            UsageError: another setting was given, or a method is unknown or needs a package that is
                absent, or another process goes on with the comparison.
            ConfigError: a number of rows cannot hold every label.
        """
        refuse_fixed(how)
        _ = self.task  # Refuses files that have changed, before anything is written.
        given = {name: getattr(how, name) for name in how.model_fields_set}
        changed = self.how.model_copy(update=given)
        refuse_absent(changed)
        if "curve" in given:
            refuse_curve(changed)
            refuse_sizes(self.task, self.config, changed)
        # Another process that goes on with it reads this, method by method.
        with self.directory.alone():
            stored = self.directory.read("config.json") or {}
            stored["comparison"] = changed.model_dump(mode="json")
            self.directory.write("config.json", stored)
        self.how = changed

    @cached_property
    def task(self) -> Task:
        """The task, which has test rows.

        Raises:
            DataError: it cannot be read or has none.
            UsageError: the files have changed since the comparison began.
        """
        task = task_of(self.config)
        if self._data is not None:
            refuse_changed(self._data, {**task.hashes, **hashes(self.how)})
        return task

    @property
    def metric(self) -> str:
        """What methods are compared by."""
        return metric_of(self.config, self.task)

    def missing(self) -> list[str]:
        """Methods without a result for some number of rows, those that failed among them; what
        was refused stays so, since neither settings nor backbone may change."""
        return [n for n in self.how.methods if not self._whole(n) and not self._refused(n)]

    def measure(self, name: str, reporter: Reporter | None = None) -> None:
        """Measures a method with every number of rows and writes down what comes, or goes wrong.

        Raises:
            DataError: the task cannot be read or has no test rows.
            UsageError: another process measures it.
        """
        method, cell = METHODS.get(name), self._cell(name)
        with cell.alone():
            self._measure(name, method, cell, reporter or Reporter())

    def refuse_taken(self, name: str) -> None:
        """Refuses a method that a process measures for one that was killed (UsageError)."""
        with self._cell(name).alone():
            pass

    def _measure(self, name: str, method: Method, cell: Cell, heard: Reporter) -> None:
        if not cell.finished:
            job = self._job(self.task, cell, heard)
            if not self._able(name, job, cell):
                return
            other = None if self.how.other is None else other_of(self.how)
            if not cell.keep(partial(measured, job, method, other, cell.write)):
                return
        # What has failed before comes last, so that it keeps no other size from being measured.
        points = {rows: self._cell(name, rows) for rows in self._sizes(name)}
        for rows, point in sorted(points.items(), key=lambda one: (not one[1].waiting, one[0])):
            if point.result is None:
                task = limited(self.task, rows, self.config.training.seed)
                point.keep(partial(_point, self._job(task, point, heard), method))

    def _job(self, task: Task, cell: Cell, reporter: Reporter) -> Job:
        pinned = Pinned(self.directory.path / "backbone.json")
        return Job(task, self.config, self.how, cell.path, reporter, pinned=pinned)

    def failed(
        self, name: str, message: str, kind: str = "failed", *, certain: bool = False
    ) -> bool:
        """Writes down why a process that measured a method has ended before its time.

        Args:
            name: of the method.
            message, kind: of the reason.
            certain: whether the same would end it again: what else was to be measured of a trained
                method is given up then.

        Returns:
            whether there is more to measure of the method that was not tried yet.
        """
        cell = self._cell(name)
        points = [self._cell(name, rows) for rows in sorted(self._sizes(name))]
        waiting = [point for point in points if point.waiting]
        if not cell.finished:
            if cell.result is None or not certain:
                cell.fail(message, kind)
                return False
            cell.cut_short(message)
            return bool(waiting)
        # With the method itself measured, it is a point of its curve that has none.
        if waiting:
            waiting[0].fail(message, kind)
        return len(waiting) > 1

    def result(self, name: str) -> dict[str, Any] | None:
        """What was measured of a method, or None; `provisional` where some of it is to follow."""
        return self._cell(name).result

    def report(self) -> dict[str, Any]:
        """All methods side by side (see `softprompt.comparison.report`), also written down."""
        names = self._reported()
        results = {name: self.result(name) for name in names}
        escalation = self.directory.read("escalation.json") if self.how.escalate else None
        waiting = not_measured(escalation)
        errors = {
            name: self._cell(name).error or waiting
            for name, result in results.items()
            if result is None
        }
        curves = {
            name: {n: self._cell(name, n).result for n in self._known(name)} for name in names
        }
        curve_errors = {
            name: {
                n: error
                for n, result in sizes.items()
                if result is None and (error := self._cell(name, n).error)
            }
            for name, sizes in curves.items()
        }
        found = report(
            self.task,
            self.metric,
            {name: result for name, result in results.items() if result is not None},
            errors,
            how=self.how,
            curves=curves,
            curve_errors=curve_errors,
            escalation=escalation,
            model=self.config.backbone.model,
        )
        write_json(self.directory.path / "report.json", found)
        write_bytes(self.directory.path / "report.html", page(found).encode())
        return found

    def escalated(self, steps: list[Step], reason: str) -> None:
        """Writes down how far an escalation went, and why no further."""
        told = {"steps": [asdict(step) for step in steps], "stopped": reason}
        self.directory.write("escalation.json", told)

    def held(self, name: str) -> Held | None:
        """A method's answers to the validation rows, where it was measured."""
        result = self.result(name)
        if result is None:
            return None
        answers = result["validation_answers"]
        return Held(name, METHODS.get(name).trains, result["validation_score"], answers)

    def references(self) -> list[str]:
        """Right answers to the validation rows that methods are judged on."""
        return [str(row.answer) for row in self.task.selection_rows]

    def _reported(self) -> list[str]:
        """The methods that are asked for, and those that were measured before."""
        names = [name for name in METHODS if name in self.how.methods or self.result(name)]
        return sorted(names, key=lambda name: METHODS.get(name).cost)

    def _able(self, name: str, job: Job, cell: Cell) -> bool:
        """Whether a method suits task and backbone; why not is written down."""
        loaded: list[Backbone] = []
        # What cannot be loaded now may be there another time: nothing is refused by it.
        if not cell.attempt(lambda: loaded.append(loaded_for(name, job)), "failed"):
            return False
        return cell.attempt(partial(refuse, name, replace(job, loaded=loaded[0])), "refused")

    def _sizes(self, name: str) -> list[int]:
        """Numbers of rows beside all of them; none for a method that learns nothing."""
        sizes = self.how.curve if METHODS.get(name).trains else ()
        return [rows for rows in sizes if rows < len(self.task.train)]

    def _known(self, name: str) -> list[int]:
        """Numbers of rows that are asked for, and those that were measured before."""
        folders = self._cell(name).path.glob("rows-*")
        numbers = [folder.name.removeprefix("rows-") for folder in folders]
        before = {int(rows) for rows in numbers if rows.isdecimal()}
        measured = {rows for rows in before if self._cell(name, rows).result is not None}
        return sorted({*self._sizes(name), *measured})

    def _whole(self, name: str) -> bool:
        return all(self._cell(name, rows).finished for rows in (None, *self._sizes(name)))

    def _refused(self, name: str) -> bool:
        error = self._cell(name).error
        return error is not None and error["kind"] == "refused"

    def _cell(self, name: str, rows: int | None = None) -> Cell:
        folder = self.directory.path / "methods" / name
        return Cell(folder if rows is None else folder / f"rows-{rows}")


def compare(
    comparison: Comparison,
    reporter: Reporter | None = None,
    apart: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Measures what is missing and reports.

    Args:
        comparison: new or begun.
        reporter: hears of progress.
        apart: measures a method elsewhere, for example in a process of its own, so that its memory
            is its own; here when absent.

    Raises:
        UsageError: another process goes on with it.
    """

    def measure(name: str) -> None:
        if apart is None:
            comparison.measure(name, reporter)
        else:
            apart(name)

    with comparison.directory.alone():
        _ = comparison.task  # Refuses files that have changed, before anything is measured.
        if comparison.how.escalate:
            _escalate(comparison, measure)
        else:
            for name in comparison.missing():
                measure(name)
        return comparison.report()


def _escalate(comparison: Comparison, measure: Callable[[str], None]) -> None:
    """Measures the cheapest methods and goes on while validation rows say that it pays."""
    # What an earlier one came to says nothing of methods that it was not given.
    (comparison.directory.path / "escalation.json").unlink(missing_ok=True)
    methods = sorted(comparison.how.methods, key=lambda name: METHODS.get(name).cost)
    others = set(METHODS) - set(methods)  # measured before, perhaps, and cheaper
    before, steps, reason, failed = list[Held](), list[Step](), "all_measured", False
    for names in steps_of([(name, METHODS.get(name).trains) for name in methods]):
        for name in names:
            if name in comparison.missing():
                measure(name)
        failed = failed or any(comparison.result(name) is None for name in names)
        now = list(filter(None, map(comparison.held, names)))
        if not now:
            continue
        task, cost = comparison.task, METHODS.get(names[0]).cost
        known = (comparison.held(name) for name in others if METHODS.get(name).cost < cost)
        cheaper = [*before, *filter(None, known)]
        step = judged(
            task.labels, comparison.metric, comparison.references(), cheaper, now, task.demands
        )
        steps.append(step)
        before += now
        if step.decision != "go_on":
            reason = step.decision
            break
    if failed and reason == "all_measured":
        reason = "some_failed"
    comparison.escalated(steps, reason)


def _point(job: Job, method: Method) -> dict[str, Any]:
    """A point of the learning curve; what was trained for it is not kept."""
    _trained, found = quality(job, method)
    Cell(job.folder).clear()
    return {**found, "rows": len(job.task.train)}
