"""Methods side by side: what each scored, what it cost, what differences are worth, what to choose.

Pure functions of what was measured. The recommendation follows from the test rows by one rule: the
cheapest method that the best one does not beat beyond chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from softprompt.comparison.config import CompareConfig
from softprompt.comparison.curve import rows_saved
from softprompt.comparison.methods import METHODS
from softprompt.comparison.significance import LEVEL, p_value
from softprompt.evaluation import value
from softprompt.tasks import Row, Task

__all__ = ["REFERENCE", "VERSION", "report"]

VERSION = 1
"""Of the report's form; `softprompt advise --report` reads it."""

REFERENCE = "soft_prompt"

_MOST_EXAMPLES = 20
_MOST_CHARACTERS = 400

_COPIED = (
    "validation",
    "seconds",
    "peak_memory_bytes",
    "energy",
    "latency",
    "switch_seconds",
    "forgetting",
    "unmeasured",
    "parts",
    "history",
    "space",
    "details",
)


def report(
    task: Task,
    metric: str,
    results: Mapping[str, Mapping[str, Any]],
    errors: Mapping[str, Mapping[str, Any]],
    *,
    how: CompareConfig,
    curves: Mapping[str, Mapping[int, Mapping[str, Any] | None]] | None = None,
    curve_errors: Mapping[str, Mapping[int, Mapping[str, Any]]] | None = None,
    escalation: Mapping[str, Any] | None = None,
    model: str = "",
) -> dict[str, Any]:
    """The report.

    Args:
        task: whose test rows were answered.
        metric: that methods are compared by.
        results: what was measured, by method (see `softprompt.comparison.measures`).
        errors: `error` and `kind` of the others.
        how: the comparison's settings.
        curves: what was measured with fewer rows, by method and number of rows.
        curve_errors: why there is nothing, in the same way.
        escalation: how far one went, or None.
        model: name of the backbone.

    Returns:
        `format`, `task`, `metric`, `methods` (by name: `test`, `p_value` against the soft prompt,
        costs and the rest), `errors`, `curves`, `curve_errors`, `rows_saved`, `time_to_accuracy`
        (`score`, the soft prompt's on the validation rows, and the `seconds` until each method
        first had it, search included, None where it never did), `examples`, `escalation`,
        `prices` and `recommendation` (`method`, `best`, and between the two `points` and
        `p_value`; a row that a method left out is wrong there).
    """
    references = [str(row.answer) for row in task.test]
    points = _points(task, metric, results, curves or {})
    return {
        "format": VERSION,
        "task": {
            "name": task.name,
            "kind": task.kind,
            "labels": list(task.labels),
            "rows": {part: len(getattr(task, part)) for part in ("train", "validation", "test")},
            "warnings": list(task.warnings),
        },
        "model": model,
        "metric": metric,
        "methods": _methods(task, metric, references, results, how),
        "errors": {name: dict(error) for name, error in errors.items()},
        "curves": {name: [list(point) for point in curve] for name, curve in points.items()},
        "curve_errors": _texts(curve_errors or {}),
        "rows_saved": rows_saved(points, REFERENCE),
        "time_to_accuracy": _time_to_accuracy(results),
        "examples": _examples(task, results),
        "escalation": None if escalation is None else dict(escalation),
        "prices": {"per_hour": how.price_per_hour, "per_kwh": how.price_per_kwh},
        "recommendation": _recommendation(task, references, results, metric),
    }


def _texts(errors: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> dict[str, Any]:
    """Errors by method and rows, as JSON has names; methods without any are left out."""
    return {
        name: {str(rows): dict(error) for rows, error in sizes.items()}
        for name, sizes in errors.items()
        if sizes
    }


def _methods(
    task: Task,
    metric: str,
    references: Sequence[str],
    results: Mapping[str, Mapping[str, Any]],
    how: CompareConfig,
) -> dict[str, Any]:
    """What was measured of each method, with what follows from it."""
    other = results.get(REFERENCE)
    found: dict[str, Any] = {}
    for name, result in results.items():
        chance = None
        if other is not None and name != REFERENCE:
            given = result["answers"], other["answers"]
            chance = p_value(task.labels, metric, references, *given, task.demands)
        found[name] = {
            "test": result["test"],
            "p_value": chance,
            "trainable_parameters": result["trainable"],
            "stored_bytes": result["stored_bytes"],
            "shared_bytes": result.get("shared_bytes", 0),
            "kept": [f"methods/{name}/{part}" for part in result.get("kept", ())],
            "money": _money(result, how),
            **{key: result.get(key) for key in _COPIED},
        }
    return found


def _points(
    task: Task,
    metric: str,
    results: Mapping[str, Mapping[str, Any]],
    curves: Mapping[str, Mapping[int, Mapping[str, Any] | None]],
) -> dict[str, list[tuple[int, float]]]:
    """By method that trains: rows and score on the test rows, the smallest size first."""
    found = {}
    for name, result in results.items():
        measured = {n: at for n, at in curves.get(name, {}).items() if at is not None}
        if measured:
            points = [(n, value(at["test"], metric)) for n, at in measured.items()]
            found[name] = sorted([*points, (len(task.train), value(result["test"], metric))])
    return found


def _time_to_accuracy(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Seconds to the soft prompt's score by method; None where there is no such score."""
    own = results.get(REFERENCE, {})
    target = own.get("validation")
    # What is 0 is reached by everything at once.
    if not own.get("history") or not target:
        return None
    reached = {
        name: next((at for at, score in result["history"] if score >= target), None)
        for name, result in results.items()
        if result.get("history")
    }
    if reached[REFERENCE] is None:
        # The choice among its prompts, or the labels that suit the metric, came to it at the end.
        reached[REFERENCE] = sum(own["seconds"].get(part, 0.0) for part in ("search", "training"))
    return {"score": target, "seconds": reached}


def _money(result: Mapping[str, Any], how: CompareConfig) -> float | None:
    """What search and training cost at the prices given; None where there is none."""
    if how.price_per_hour is None and how.price_per_kwh is None:
        return None
    seconds = result["seconds"]
    hours = (seconds.get("search", 0.0) + seconds.get("training", 0.0)) / 3600
    energy = (result.get("energy") or {}).get("kwh", 0.0)
    return float(hours * (how.price_per_hour or 0.0) + energy * (how.price_per_kwh or 0.0))


def _examples(task: Task, results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Test rows that methods answer differently: those that the soft prompt has wrong first."""
    found: list[dict[str, Any]] = []
    for place, row in enumerate(task.test):
        answers = {
            name: result["answers"][place]
            for name, result in results.items()
            if place < len(result["answers"]) and result["answers"][place] is not None
        }
        if len(set(answers.values())) > 1:
            right = str(row.answer)
            example = {"text": _text(task, row), "right": right, "answers": answers}
            found.append({"row": row.number, **example})
    own = results.get(REFERENCE)
    if own is not None:
        found.sort(key=lambda e: e["answers"].get(REFERENCE, e["right"]) == e["right"])
    return found[:_MOST_EXAMPLES]


def _text(task: Task, row: Row) -> str:
    if row.messages:
        text = "\n".join(f"{each['role']}: {each['content']}" for each in row.messages)
    else:
        text = "\n".join(row.columns.get(name, "") for name in task.inputs)
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"


def _answered_share(answers: Sequence[str | None]) -> float:
    return sum(answer is not None for answer in answers) / max(1, len(answers))


def _recommendation(
    task: Task,
    references: Sequence[str],
    results: Mapping[str, Mapping[str, Any]],
    metric: str,
) -> dict[str, Any] | None:
    """The cheapest method that the best one does not beat beyond chance."""
    if not results:
        return None
    # Who leaves out the long rows has them wrong, or three rows would do beside a thousand.
    answers = {
        name: ["" if answer is None else answer for answer in result["answers"]]
        for name, result in results.items()
    }
    scores = {
        name: value(result["test"], metric) * _answered_share(result["answers"])
        for name, result in results.items()
    }
    best = max(scores, key=lambda name: scores[name])
    for name in sorted(results, key=lambda name: METHODS.get(name).cost):
        given = answers[name], answers[best]
        chance = None
        if name != best:
            chance = p_value(task.labels, metric, references, *given, task.demands)
        if name == best or (chance is not None and chance >= LEVEL):
            return {
                "method": name,
                "best": best,
                "p_value": chance,
                "points": round(100 * (scores[best] - scores[name]), 3),
                "level": LEVEL,
            }
    return None
