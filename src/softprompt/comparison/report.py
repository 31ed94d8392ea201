"""Methods side by side: what each scored, what it cost, what differences are worth, what to choose.

Pure functions of what was measured. What to choose is `softprompt.comparison.recommendation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from softprompt.comparison.config import CompareConfig
from softprompt.comparison.curve import rows_saved
from softprompt.comparison.methods import METHODS
from softprompt.comparison.recommendation import recommendation
from softprompt.comparison.significance import p_value
from softprompt.evaluation import value
from softprompt.tasks import Row, Task

__all__ = ["REFERENCE", "VERSION", "report"]

VERSION = 1
"""Of the report's form; `softprompt advise --report` reads it."""

REFERENCE = "soft_prompt"

_MOST_EXAMPLES = 20
_MOST_CHARACTERS = 400

_COPIED = (
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
        (`score`, the soft prompt's on the validation rows with the labels that suit the metric
        best, as every validation is scored, and the `seconds` until each method first had it,
        search included, None where it never did), `examples`, `escalation`,
        `prices` and `recommendation` (see `softprompt.comparison.recommendation`).
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
        "recommendation": recommendation(task, references, results, metric),
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
            "validation": result.get("validation_score"),
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
    target = own.get("suited_score")
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
    """Test rows that methods answer differently, those that train where several do; such as the
    soft prompt has wrong and right in turn, spread over all of them."""
    learned = [name for name in results if METHODS.get(name).trains]
    judged = learned if len(learned) > 1 else list(results)
    wrong, right = list[dict[str, Any]](), list[dict[str, Any]]()
    for place, row in enumerate(task.test):
        answers = {
            name: result["answers"][place]
            for name, result in results.items()
            if place < len(result["answers"]) and result["answers"][place] is not None
        }
        if len({answers[name] for name in judged if name in answers}) > 1:
            gold = str(row.answer)
            example = {"text": _text(task, row), "right": gold, "answers": answers}
            among = right if answers.get(REFERENCE, gold) == gold else wrong
            among.append({"row": row.number, **example})
    half = _MOST_EXAMPLES // 2
    first = _spread(wrong, max(half, _MOST_EXAMPLES - len(right)))
    pairs = zip_longest(first, _spread(right, _MOST_EXAMPLES - len(first)))
    return [example for pair in pairs for example in pair if example is not None]


def _spread(found: Sequence[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """So many of them at equal distances, or all."""
    count = min(most, len(found))
    return [found[place * len(found) // count] for place in range(count)]


def _text(task: Task, row: Row) -> str:
    if row.messages:
        text = "\n".join(f"{each['role']}: {each['content']}" for each in row.messages)
    else:
        text = "\n".join(_shortened([row.columns.get(name, "") for name in task.inputs]))
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"


def _shortened(texts: Sequence[str]) -> list[str]:
    """Texts of several columns in as many characters as one may have: short ones whole, such as a
    question behind its passage, the others cut where they share what is left."""
    room, found = _MOST_CHARACTERS - len(texts) + 1, list(texts)
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    for done, place in enumerate(order):
        share = room // (len(texts) - done)
        if len(texts[place]) > share:
            found[place] = texts[place][: max(0, share - 1)] + "…"
        room -= len(found[place])
    return found
