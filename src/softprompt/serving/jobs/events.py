"""What happened to a job, from its record and from its run's folder, as a list of events.

An event has the same ID whenever the list is made. When a validation was is reckoned from the
seconds that the run had trained, so after a pause it is the time of training that counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from softprompt.serving.jobs.job import Job, Level
from softprompt.serving.jobs.run_records import RunRecords

__all__ = ["Event", "events_of"]

_KEPT = ("learning_rate", "score", "best", "epoch")
_NOT_MEASURED = {
    *_KEPT, "kind", "step", "loss", "candidate", "interim", "population", "gradient_norm",
    "largest_gradient_norm", "gradient_norms", "drift", "seconds", "slices",
}  # fmt: skip


@dataclass(frozen=True)
class Event:
    """One event.

    Args:
        id: of it; the same whenever it is asked for.
        time: seconds since 1970.
        level: how much it matters.
        message: one sentence; may name paths of this machine.
        data: numbers, where the event is about some.
    """

    id: str
    time: float
    level: Level
    message: str
    data: Mapping[str, Any] | None = None


def events_of(job: Job, run: RunRecords) -> list[Event]:
    """All events of a job, the oldest first."""
    stem = f"ftevent-{job.id.rpartition('-')[2]}"
    own = [
        Event(f"{stem}-{number}", word.time, word.level, word.message)
        for number, word in enumerate(job.words)
    ]
    # Files keep time less exactly than the record does, so what stands first stays first.
    order = {event.id: place for place, event in enumerate(own)}
    found = [*own, *_planned(stem, run), *_validations(stem, run), *_measured(stem, run)]
    return sorted(found, key=lambda event: (event.time, order.get(event.id, -1)))


def _planned(stem: str, run: RunRecords) -> Iterator[Event]:
    plan = run.plan
    if plan is None:
        return
    rows, dropped = plan["rows"], plan["dropped"]
    yield Event(
        f"{stem}-files",
        run.planned,
        "info",
        f"The files are good: {rows['train']} rows to train on, {rows['validation']} to validate, "
        f"{rows['test']} to test.",
        dict(rows),
    )
    if sum(dropped.values()):
        yield Event(
            f"{stem}-dropped",
            run.planned,
            "warn",
            f"{sum(dropped.values())} rows do not fit into the model's window and are left out.",
            dict(dropped),
        )
    seconds = plan["estimate_seconds"]
    yield Event(
        f"{stem}-plan",
        run.planned,
        "info",
        f"Training {len(plan['candidates'])} prompts for {plan['steps']} steps, about "
        f"{seconds:g} s.",
        {"total_steps": plan["steps"], "estimate_seconds": seconds},
    )


def _validations(stem: str, run: RunRecords) -> Iterator[Event]:
    metric = str((run.plan or {}).get("metric", "score"))
    for record in run.records:
        step, score, loss = record["step"], record.get("score"), record.get("loss")
        told = [f"Step {step}/{run.steps}"] if run.steps else [f"Step {step}"]
        if isinstance(loss, int | float):
            told.append(f"training loss {loss:.4f}")
        if isinstance(score, int | float):
            told.append(f"validation {metric} {score:.4f}")
        measured = {
            f"valid_{name}": value
            for name, value in record.items()
            if name not in _NOT_MEASURED and isinstance(value, int | float)
        }
        kept = {name: record[name] for name in _KEPT if name in record}
        data = {"step": step, "total_steps": run.steps, "train_loss": loss, **kept, **measured}
        at = min(run.planned + float(record.get("seconds", 0.0)), run.recorded)
        yield Event(f"{stem}-step-{step}", at, "info", f"{', '.join(told)}.", data)


def _measured(stem: str, run: RunRecords) -> Iterator[Event]:
    """What a run that ended says of itself."""
    result = run.result
    if result is None or run.interrupted:
        return
    for number, text in enumerate(result.get("warnings", ())):
        yield Event(f"{stem}-warning-{number}", run.ended, "warn", str(text))
    test, metric = result.get("test"), result.get("metric", "")
    if not isinstance(test, dict):
        return
    scores = {"prompt": test.get(metric)}
    scores |= {name: found.get(metric) for name, found in result["baselines"].items()}
    scores = {name: value for name, value in scores.items() if isinstance(value, int | float)}
    told = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in scores.items())
    if told:
        yield Event(
            f"{stem}-test",
            run.ended,
            "info",
            f"On {test['n']} test rows, {metric}: {told}.",
            {"metric": metric, "rows": test["n"], **{f"test_{k}": v for k, v in scores.items()}},
        )
