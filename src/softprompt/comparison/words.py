"""A comparison in words, in the language in use: names, amounts, what is recommended and why.

The terminal and the page say the same; both read the report and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from softprompt.comparison.methods import METHODS
from softprompt.comparison.significance import can_tell
from softprompt.evaluation import default_metric, interval_of
from softprompt.evaluation.titles import measure_name
from softprompt.locale import _, figure, mark, ngettext, number, percent

__all__ = [
    "UNDECIDED",
    "answered_in",
    "at_edge",
    "beside_best",
    "clock",
    "decided",
    "energy",
    "escalation",
    "interval",
    "kept_out",
    "left_out",
    "named",
    "parts_told",
    "price",
    "reached",
    "recommended",
    "rows_saved",
    "score_of",
    "short",
    "times_told",
    "title_of_other",
    "unmeasured",
]

UNDECIDED = mark(
    "Measured on {n} test rows, too few to tell the methods apart: {best} scores highest, {points} "
    "points ahead of {method}, the cheapest that is not beaten beyond chance (p = {p}). Measure on "
    "more of them."
)
_KINDS = {
    "memory": mark("{method}: ran out of memory ({reason})"),
    "refused": mark("{method}: cannot be done here. {reason}"),
    "failed": mark("{method}: failed. {reason}"),
    "waiting": mark("{method}: not measured yet."),
    "not_needed": mark("{method}: not measured, since going on does not pay."),
    "too_few_rows": mark("{method}: not measured, since the validation rows are too few to judge."),
}
_LEAST_PRICE = 0.000001
"""The least amount of money that is shown."""
_STOPPED = {
    "too_few_rows": mark(
        "Stopped after {method}: of so few validation rows no difference would be beyond chance. "
        "Begin anew with more (--validation), or go on without it: --resume DIR --set "
        "compare.escalate=false."
    ),
    "no_room": mark(
        "Stopped after {method}: on the validation rows not even right answers throughout would be "
        "better beyond chance (p = {p})."
    ),
    "does_not_pay": mark(
        "Stopped after {method}: on the validation rows it is not better than {than} beyond chance "
        "(p = {p})."
    ),
    "is_behind": mark(
        "Stopped after {method}: on the validation rows it scores no higher than {than}."
    ),
    "all_measured": mark("Every step paid on the validation rows, so all methods are measured."),
    "some_failed": mark(
        "Every step that could be measured paid on the validation rows; others could not be."
    ),
}


def named(method: str) -> str:
    """A method as people call it."""
    return _(METHODS.get(method).title) if method in METHODS else method


def interval(test: Mapping[str, Any], metric: str) -> str:
    """The metric's 95% interval in whole points; nothing where none was measured."""
    bounds = interval_of(test, metric)
    return "" if bounds is None else f"{number(100 * bounds[0])}–{number(100 * bounds[1])}"


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
    """Methods whose score leaves out rows that do not fit into the window."""
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


_BESIDE = {
    # Whether anything cheaper and anything dearer was measured.
    (False, False): mark("Nothing else is measured."),
    (False, True): mark("Nothing dearer is better."),
    (True, False): mark("Nothing cheaper comes close; nothing dearer is measured."),
    (True, True): mark("Nothing cheaper comes close."),
}


def beside_best(best: str, methods: Iterable[str]) -> str:
    """How what was measured beside the best method, which is chosen, compares with it."""
    # A report of another version may have methods that this one does not know.
    costs = [METHODS.get(method).cost for method in methods if method in METHODS]
    own = METHODS.get(best).cost
    return _(_BESIDE[any(cost < own for cost in costs), any(cost > own for cost in costs)])


def decided(found: Mapping[str, Any]) -> str | None:
    """The method to choose; None where test rows are too few to tell it from a better one."""
    chosen = found["recommendation"]
    if chosen is None or (chosen["method"] != chosen["best"] and not can_tell(_tested(found))):
        return None
    return str(chosen["method"])


def _tested(found: Mapping[str, Any]) -> int:
    """Test rows that were answered."""
    return max((method["test"]["n"] for method in found["methods"].values()), default=0)


def recommended(found: Mapping[str, Any]) -> str:
    """What to choose, and by what rule; nothing where nothing was measured."""
    chosen = found["recommendation"]
    if chosen is None:
        return ""
    if all(METHODS.get(method).way is None for method in found["methods"]):
        return _("Only the majority guess is measured, so there is nothing to choose yet.")
    rows = _tested(found)
    name, best = named(chosen["method"]), named(chosen["best"])
    if METHODS.get(chosen["method"]).way is None:
        text = (
            _(
                "On these {n} test rows nothing is better than guessing beyond chance; a larger "
                "model or more rows may be."
            )
            if any(METHODS.get(method).trains for method in found["methods"])
            else _(
                "On these {n} test rows no method without training is better than guessing beyond "
                "chance; none that learns is measured."
            )
        )
        return text.format(n=number(rows))
    if chosen["method"] == chosen["best"]:
        told = _("Choose: {method}.").format(method=name)
        return f"{told} {beside_best(chosen['method'], found['methods'])}"
    text = UNDECIDED
    if decided(found) is not None:
        text = mark(
            "Choose: {method}. On these {n} test rows nothing is better beyond chance; {best} is "
            "{points} points ahead (p = {p}), and more test rows may tell them apart."
        )
    return _(text).format(
        method=name,
        best=best,
        n=number(rows),
        points=number(chosen["points"], 1),
        p=number(chosen["p_value"], 2),
    )


def escalation(found: Mapping[str, Any]) -> str:
    """Why an escalation stopped; nothing where there was none."""
    told = found["escalation"]
    if told is None:
        return ""
    last = told["steps"][-1] if told["steps"] else None
    if last is None:
        return ""
    stopped = told["stopped"]
    # Of a method that is behind, the chance of the distance is not why.
    points = last.get("points")
    if stopped == "does_not_pay" and points is not None and points <= 0:
        stopped = "is_behind"
    text = _STOPPED[stopped]
    return _(text).format(
        method=named(last["method"]),
        than=named(last["than"]) if last["than"] else "",
        p="–" if last["p_value"] is None else number(last["p_value"], 3),
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
