"""A comparison in words, in the language in use: names, amounts, what is missing and why.

The terminal and the page say the same; both read the report and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from softprompt.comparison.methods import METHODS
from softprompt.evaluation import default_metric, interval_of
from softprompt.evaluation.titles import measure_name
from softprompt.locale import _, figure, mark, ngettext, number, percent

__all__ = [
    "answered_in",
    "at_edge",
    "chance",
    "change",
    "clock",
    "energy",
    "general_told",
    "interval",
    "kept_out",
    "left_out",
    "named",
    "other_told",
    "parts_told",
    "price",
    "reached",
    "rows_saved",
    "score_of",
    "short",
    "times_told",
    "title_of_other",
    "unmeasured",
]

_KINDS = {
    "memory": mark("{method}: ran out of memory ({reason})"),
    "refused": mark("{method}: cannot be done here. {reason}"),
    "failed": mark("{method}: failed. {reason}"),
    "waiting": mark("{method}: not measured yet."),
    "not_needed": mark("{method}: not measured, since going on does not pay."),
    "too_few_rows": mark("{method}: not measured, since the validation rows are too few to judge."),
}
_LEAST_CHANCE = 0.001
"""The least chance that is shown."""
_LEAST_PRICE = 0.000001
"""The least amount of money that is shown."""


def named(method: str) -> str:
    """A method as people call it."""
    return _(METHODS.get(method).title) if method in METHODS else method


def interval(test: Mapping[str, Any], metric: str) -> str:
    """The metric's 95% interval in whole points; nothing where none was measured."""
    bounds = interval_of(test, metric)
    return "" if bounds is None else f"{number(100 * bounds[0])}–{number(100 * bounds[1])}"


def chance(p: float | None) -> str:
    """The chance of a difference, to three places; nothing for none."""
    if p is None:
        return ""
    return number(p, 3) if p >= _LEAST_CHANCE else f"< {number(_LEAST_CHANCE, 3)}"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds as a clock shows them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def answered_in(seconds: float) -> str:
    """A short time: 12 ms, 3.4 s; nothing for none."""
    if seconds <= 0:
        return ""
    if seconds < 1:
        return f"{number(1000 * seconds, 0 if seconds >= 0.01 else 1)} ms"
    return f"{number(seconds, 1)} s"


def energy(told: Mapping[str, Any] | None) -> str:
    """Watt-hours, with a sign where they are estimated."""
    if told is None:
        return ""
    hours = 1000 * told["kwh"]
    sign = "~" if "estimated" in told["sources"] else ""
    return f"{sign}{number(hours, 0 if hours >= 100 else 2)} Wh"


def price(money: float | None) -> str:
    """Money without a currency; small amounts with more digits, nothing for none."""
    if money is None:
        return ""
    if not money:
        return "0"
    if money < _LEAST_PRICE:
        return f"< {number(_LEAST_PRICE, 6)}"
    return number(money, 2 if money >= 100 else 4 if money >= 0.1 else 6)


def short(count: int) -> str:
    """A count in a few characters; nothing for none."""
    if not count:
        return ""
    for unit, name in ((1_000_000, "M"), (1_000, "k")):
        if count >= unit:
            return f"{number(count / unit, 1)} {name}"
    return number(count)


def kept_out(found: Mapping[str, Any]) -> list[str]:
    """Why methods have no result, and none with some numbers of rows."""
    errors = [(named(name), error) for name, error in found["errors"].items()]
    for name, sizes in found.get("curve_errors", {}).items():
        for rows, error in sizes.items():
            text = _("{method} with {n} rows").format(method=named(name), n=number(int(rows)))
            errors.append((text, error))
    lines = []
    for name, error in errors:
        text = _KINDS.get(error["kind"], _KINDS["failed"])
        lines.append(_(text).format(method=name, reason=error["error"]))
    return lines


def left_out(found: Mapping[str, Any]) -> list[str]:
    """Methods whose score leaves out rows that do not fit into the window, and those that show rows
    fewer examples for it."""
    lines = []
    for name, method in found["methods"].items():
        dropped = method["test"].get("dropped", 0)
        if dropped:
            text = ngettext(
                "{method}: {n} test row does not fit into the window; the score leaves it out.",
                "{method}: {n} test rows do not fit into the window; the score leaves them out.",
                dropped,
            )
            lines.append(text.format(method=named(name), n=number(dropped)))
        shortened = method["test"].get("shortened", 0)
        if shortened:
            text = ngettext(
                "{method}: {n} test row has room in the window for fewer of them.",
                "{method}: {n} test rows have room in the window for fewer of them.",
                shortened,
            )
            lines.append(text.format(method=named(name), n=number(shortened)))
    return lines


def parts_told(found: Mapping[str, Any]) -> list[str]:
    """What the vectors of a prompt and the readout beside them come to by themselves."""
    metric, lines = found["metric"], []
    for name, method in found["methods"].items():
        parts = method.get("parts")
        if parts:
            text = _(
                "{method}: {score} together with a linear readout of its contexts; the vectors "
                "alone {vectors}, the readout alone {readout}."
            )
            scores = (method["test"], parts["prompts"], parts["readout"])
            score, vectors, readout = (percent(test[metric]) for test in scores)
            lines.append(
                text.format(method=named(name), score=score, vectors=vectors, readout=readout)
            )
    return lines


def reached(found: Mapping[str, Any], name: str) -> str:
    """When a method first had the soft prompt's validation score; nothing where not measured."""
    times = (found.get("time_to_accuracy") or {}).get("seconds", {})
    if name not in times:
        return ""
    return "–" if times[name] is None else clock(times[name])


def times_told(found: Mapping[str, Any]) -> list[str]:
    """What the times that `reached` tells are times to."""
    told = found.get("time_to_accuracy")
    if told is None:
        return []
    text = _(
        "To the prompt's score: time, search included, until the validation score first was "
        "{score}, the soft prompt's; – if it never was."
    )
    return [text.format(score=percent(told["score"]))]


def score_of(metric: Mapping[str, Any] | None) -> str:
    """The score on another task in a few characters; nothing for none."""
    return "" if metric is None else percent(metric[_scored_by(metric)])


def title_of_other(other: Mapping[str, Any]) -> str:
    """Another task's name, what answers to it are scored by, and of how many rows."""
    metric = other["untouched"]
    counted = metric.get("n", 0)
    rows = ngettext("{n} row", "{n} rows", counted).format(n=number(counted))
    return f"{other['name']}, {measure_name(_scored_by(metric))}, {rows}"


def change(loss: Mapping[str, Any]) -> str:
    """The 95% interval of what a method does to the loss of general text; nothing where comparisons
    of before have none."""
    bounds = loss.get("change_interval")
    if bounds is None:
        return ""
    # A loss that hardly falls is not told as "-0.00", and no sign runs into the dash.
    low, high = (round(each, 2) or 0.0 for each in bounds)
    return (" – " if low < 0 else "–").join((number(low, 2), number(high, 2)))


def general_told(found: Mapping[str, Any]) -> list[str]:
    """How much general text there is, which the intervals of its loss rest on."""
    losses = (m["forgetting"]["loss"] for m in found["methods"].values() if m["forgetting"])
    text = _("General text: {n} passages, {tokens} tokens; the interval is that of the change.")
    return [
        text.format(n=number(loss["passages"]), tokens=number(loss["tokens"]))
        for loss in losses
        if "change_interval" in loss
    ][:1]


def other_told(found: Mapping[str, Any]) -> list[str]:
    """That another task hardly shows what is forgotten, where the untouched model only guesses."""
    others = (
        m["forgetting"]["other"]
        for m in found["methods"].values()
        if m["forgetting"] and m["forgetting"]["other"]
    )
    for other in others:
        counts = (other["untouched"].get("confusion") or {}).get("counts")
        if counts and sum(row[at] for at, row in enumerate(counts)) <= max(map(sum, counts)):
            text = _(
                "{name}: the untouched model does no better there than the most frequent label, so "
                "it has little to forget; --other-choices and --other-template word labels and "
                "question."
            )
            return [text.format(name=other["name"])]
    return []


def _scored_by(metric: Mapping[str, Any]) -> str:
    """What tasks of its kind are compared by."""
    return default_metric("classification" if "accuracy" in metric else "generation")


def unmeasured(found: Mapping[str, Any]) -> list[str]:
    """What could not be measured of methods that have a result, and why."""
    names: dict[tuple[str, str], list[str]] = {}
    for name, method in found["methods"].items():
        for what, reason in (method.get("unmeasured") or {}).items():
            names.setdefault((what, reason), []).append(named(name))
    lines = []
    for (what, reason), those in names.items():
        text = _EXTRAS.get(what, what)
        lines.append(f"{', '.join(those)}: {_(text)}: {reason}")
    return lines


_EXTRAS = {
    "latency": mark("time of an answer"),
    "switch_seconds": mark("time to switch"),
    "forgetting": mark("forgetting"),
}


def at_edge(found: Mapping[str, Any]) -> list[str]:
    """The methods that are best at an end of the rates that they searched, where more may be."""
    lines = []
    for name, method in found["methods"].items():
        for rate, tried in _searches(method.get("details") or {}):
            end = {max(tried): _LARGEST, min(tried): _SMALLEST}.get(float(f"{rate:g}"))
            if end is not None and len(tried) > 1:
                text = _(end).format(method=named(name), rate=figure(rate))
                lines.append(text)
    return lines


def _searches(details: Mapping[str, Any]) -> Iterator[tuple[float, list[float]]]:
    """The best rate and those tried of each search that a method made, its parts' included; of
    rates that all come to the same none is best."""
    if details.get("rates") and len(set(details["rates"].values())) > 1:
        best = details.get("kept_rate", details["rate"])
        yield best, [float(rate) for rate in details["rates"]]
    for part in details.values():
        if isinstance(part, Mapping):
            yield from _searches(part)


_LARGEST = mark(
    "{method}: the best learning rate, {rate}, is the largest that was tried; a larger one may be "
    "better."
)
_SMALLEST = mark(
    "{method}: the best learning rate, {rate}, is the smallest that was tried; a smaller one may "
    "be better."
)


def rows_saved(found: Mapping[str, Any]) -> list[str]:
    """By method, what the soft prompt needs for the score that the method reaches with all rows;
    and which rows these are."""
    lines = []
    for name, entries in found["rows_saved"].items():
        last = entries[-1]
        values = {
            "method": named(name),
            "rows": number(last["rows"]),
            "score": percent(last["score"]),
            "n": number(last["reference_rows"] or 0),
        }
        text = _SAVED[last["bound"]]
        lines.append(_(text).format(**values))
    if found.get("curves"):
        lines.append(
            _("Rows are training rows; the {n} validation rows are there at every size.").format(
                n=number(found["task"]["rows"]["validation"])
            )
        )
    return lines


_SAVED = {
    "exact": mark(
        "{method} reaches {score} with {rows} rows; the soft prompt needs about {n} for that."
    ),
    "at_most": mark(
        "{method} reaches {score} with {rows} rows; the soft prompt needs {n} or fewer for that."
    ),
    "more_than": mark(
        "{method} reaches {score} with {rows} rows; the soft prompt does not with as many."
    ),
}
