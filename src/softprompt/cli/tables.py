"""Tables of metrics that fit 80 columns: systems side by side, classes, confusion, slices.

Knows the shape of a metric and nothing of where it was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from softprompt.cli.amounts import measure_name
from softprompt.locale import _, number, percent

__all__ = ["adherence", "comparison", "main_measure", "show_metric", "table"]

_SCALE = 18
_MOST_CLASSES = 30
_MOST_CONFUSION = 8


def table(*headers: str, first_left: bool = True) -> Table:
    """An empty table in the house's style: names to the left, numbers to the right."""
    empty = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, header in enumerate(headers):
        left = index == 0 and first_left
        empty.add_column(header, justify="left" if left else "right", overflow="fold")
    return empty


_ADHERENCE = ("format_adherence", "term_adherence", "term_precision")
_FURTHER = (
    "macro_f1",
    "exact_match",
    "token_f1",
    "chrf",
    "rouge1",
    "rougeL",
    "ece",
    *_ADHERENCE,
)
"""What is told beside the main measure, in this order."""


def main_measure(metric: Mapping[str, Any], chosen_by: str | None = None) -> str:
    """The measure that is told first, with its interval: accuracy of labels, and of free text what
    chose the prompt, where that is known and has an interval."""
    if "accuracy" in metric:
        return "accuracy"
    known = chosen_by is not None and _interval_of(metric, chosen_by) is not None
    return str(chosen_by) if known else "exact_match"


def comparison(systems: Sequence[tuple[str, Mapping[str, Any]]], chosen_by: str) -> Table:
    """Several systems on the same rows, each with its 95% interval, also drawn on a line.

    Args:
        systems: names, translated, and metrics; the last is ours.
        chosen_by: the metric that decided, which stands beside the main one.
    """
    first = main_measure(systems[-1][1], chosen_by)
    usual = {"accuracy": "macro_f1", "exact_match": "token_f1"}.get(first, "exact_match")
    second = usual if chosen_by == first else chosen_by
    rows = table("", measure_name(first), _("95% interval"), f"0%{'100%':>{_SCALE - 2}}")
    rows.columns[3].justify = "left"
    for column in (0, 2, 3):
        rows.columns[column].no_wrap = True
    rows.add_column(measure_name(second), justify="right")
    for name, metric in systems:
        low, high = _interval_of(metric, first) or metric["interval"]
        ours = metric is systems[-1][1]
        rows.add_row(
            name,
            percent(metric[first]),
            _interval(low, high),
            _line(metric[first], low, high, "green" if ours else "cyan"),
            percent(metric[second]) if metric.get(second) is not None else "",
            style="bold" if ours else "",
        )
    return rows


def show_metric(console: Console, metric: Mapping[str, Any], chosen_by: str | None = None) -> None:
    """Everything that a metric holds.

    Args:
        console: to print on.
        metric: of one system.
        chosen_by: the metric that chose it, where that is known.
    """
    first = main_measure(metric, chosen_by)
    low, high = _interval_of(metric, first) or metric["interval"]
    names = [name for name in _FURTHER if name in metric and name != first]
    console.print(
        _("{rows} rows: {name} {value}, 95% interval {interval}").format(
            rows=number(metric["n"]),
            name=measure_name(first),
            value=percent(metric[first]),
            interval=_interval(low, high),
        ),
        style="bold",
    )
    others = [f"{measure_name(n)} {percent(metric[n])}" for n in names if metric[n] is not None]
    if others:
        console.print(", ".join(others))
    if metric.get("dropped"):
        console.print(_("Rows left out for their length: {n}.").format(n=metric["dropped"]))
    for name, cure in metric.get("skipped", {}).items():
        console.print(_("{name} is not measured: {cure}").format(name=name, cure=cure))
    if "per_class" in metric:
        console.print(_classes(metric["per_class"]))
    if "confusion" in metric and len(metric["confusion"]["labels"]) <= _MOST_CONFUSION:
        console.print(_confusion(metric["confusion"]))
    if "slices" in metric:
        console.print(_slices(metric["slices"], chosen_by))


def adherence(metric: Mapping[str, Any]) -> str:
    """How far answers keep to the form and the terms of their task; nothing where it has none."""
    told = [name for name in _ADHERENCE if metric.get(name) is not None]
    return ", ".join(f"{measure_name(name)} {percent(metric[name])}" for name in told)


def _interval_of(metric: Mapping[str, Any], name: str) -> Sequence[float] | None:
    # Its room imports numpy, which `--help` need not wait for.
    from softprompt.evaluation import interval_of

    return interval_of(metric, name)


def _interval(low: float, high: float) -> str:
    return f"{number(100 * low, 1)}–{percent(high)}"


def _line(value: float, low: float, high: float, style: str) -> Text:
    """The interval as a line from 0 to 100%, the value as a dot on it."""
    cells = [" "] * (_SCALE + 1)
    start, middle, end = (round(fraction * _SCALE) for fraction in (low, value, high))
    for cell in range(start, end + 1):
        cells[cell] = "─"
    cells[start], cells[end] = "├", "┤"
    cells[middle] = "●"
    return Text("".join(cells), style=style)


def _classes(classes: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = table(_("label"), _("precision"), _("recall"), "F1", _("rows"))
    for label, entry in list(classes.items())[:_MOST_CLASSES]:
        scores = [percent(entry[name]) for name in ("precision", "recall", "f1")]
        rows.add_row(label, *scores, number(entry["n"]))
    if len(classes) > _MOST_CLASSES:
        rows.add_row(_("{n} more").format(n=len(classes) - _MOST_CLASSES), "", "", "", "")
    return rows


def _confusion(confusion: Mapping[str, Any]) -> Table:
    labels = confusion["labels"]
    rows = table(_("right \\ answered"), *labels)
    for place, (label, counts) in enumerate(zip(labels, confusion["counts"], strict=True)):
        cells = [
            Text(number(count), style="bold" if place == other else "")
            for other, count in enumerate(counts)
        ]
        rows.add_row(label, *cells)
    return rows


def _slices(slices: Mapping[str, Mapping[str, Any]], chosen_by: str | None) -> Table:
    first = main_measure(next(iter(slices.values())), chosen_by)
    rows = table(_("slice"), _("rows"), measure_name(first), _("95% interval"))
    for name, metric in list(slices.items())[:_MOST_CLASSES]:
        interval = _interval(*(_interval_of(metric, first) or metric["interval"]))
        rows.add_row(name or _("(empty)"), number(metric["n"]), percent(metric[first]), interval)
    return rows
