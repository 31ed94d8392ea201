"""What a comparison shows people: tables of quality, costs and forgetting, and what to choose.

Every table fits 80 columns; what does not fit stands in the report's page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from softprompt.cli.amounts import measure_name
from softprompt.cli.runs import asked_with, show_commands
from softprompt.cli.tables import table
from softprompt.comparison.methods import METHODS
from softprompt.comparison.verdicts import decided, escalation, recommended
from softprompt.comparison.words import (
    answered_in,
    at_edge,
    chance,
    change,
    clock,
    energy,
    general_told,
    interval,
    kept_out,
    left_out,
    named,
    other_told,
    parts_told,
    price,
    reached,
    rows_saved,
    score_of,
    short,
    times_told,
    title_of_other,
    unmeasured,
)
from softprompt.locale import _, mark, number, percent, size

__all__ = ["show_comparison", "show_next"]

_ADHERENCE = {
    "format_adherence": mark("format"),
    "term_adherence": mark("terms"),
    "term_precision": mark("precision"),
}
_SIZES = (32, 128, 512)
"""Numbers of rows that a learning curve is proposed with."""


def show_comparison(console: Console, found: Mapping[str, Any]) -> None:
    """The tables and the recommendation.

    Args:
        console: to print on.
        found: the report.
    """
    methods = found["methods"]
    if methods:
        console.print(_quality(found))
        if any(method["p_value"] is not None for method in methods.values()):
            told = _(
                "p: the chance of so large a difference from the soft prompt if both were equal."
            )
            console.print(told, style="dim", soft_wrap=True)
        console.print(_costs(found))
        if any(_adherence(method["test"]) for method in methods.values()):
            console.print(_kept_to(found))
    if any(method["forgetting"] for method in methods.values()):
        console.print(_forgetting(found))
        other = _other(found)
        if other is not None:
            console.print(other)
    lines = [
        *found["task"]["warnings"],
        *general_told(found),
        *other_told(found),
        *parts_told(found),
        *(() if _priced(found) else times_told(found)),
        *left_out(found),
        *kept_out(found),
        *unmeasured(found),
        *at_edge(found),
        *rows_saved(found),
        escalation(found),
        recommended(found),
    ]
    for line in filter(None, lines):
        console.print(line, soft_wrap=True)


def show_next(console: Console, found: Mapping[str, Any], folder: Path) -> None:
    """Where the page and the recommended method are, and what is worth typing next.

    Args:
        console: to print on.
        found: the report.
        folder: of the comparison.
    """
    chosen = decided(found)
    parts = found["methods"][chosen]["kept"] if chosen else ()
    kept = [folder / part for part in parts]
    # A path that is cut is no path.
    if kept:
        text = _("What it keeps: {paths}").format(paths=", ".join(map(str, kept)))
        console.print(text, style="dim", soft_wrap=True)
    text = _("Page: {path}").format(path=folder / "report.html")
    console.print(text, style="dim", soft_wrap=True)
    show_commands(console, _commands(found, folder, kept))


def _commands(found: Mapping[str, Any], folder: Path, kept: Sequence[Path]) -> list[list[str]]:
    """Command lines that a comparison leads to."""
    commands = []
    if kept and (kept[-1] / "prompt.json").is_file():
        commands.append(["predict", str(kept[-1]), *asked_with(kept[-1])])
    rows, labels = found["task"]["rows"]["train"], len(found["task"]["labels"])
    sizes = [str(size) for size in _SIZES if 2 * labels <= size < rows]
    learned = [name for name in found["methods"] if METHODS.get(name).trains]
    if sizes and learned and not found["curves"] and not found["curve_errors"]:
        # Named, since those that the comparison goes on with may be others that learn nothing.
        of = ["--methods", ",".join(learned)]
        commands.append(["compare", "--resume", str(folder), *of, "--curve", ",".join(sizes)])
    if any(METHODS.get(name).way for name in found["methods"]):
        commands.append(["advise", "--report", str(folder)])
    return [["softprompt", *words] for words in commands]


def _quality(found: Mapping[str, Any]) -> Table:
    metric = found["metric"]
    headers = (measure_name(metric), "95%", "p", _("numbers"), _("saved"), _("time"))
    rows = _rows(*headers)
    for name, method in found["methods"].items():
        rows.add_row(
            named(name),
            percent(method["test"][metric]),
            interval(method["test"], metric),
            chance(method["p_value"]),
            short(method["trainable_parameters"]),
            size(method["stored_bytes"]) if method["stored_bytes"] else "",
            clock(_spent(method)) if method["seconds"] else "",
            style=_style(found, name),
        )
    return rows


def _costs(found: Mapping[str, Any]) -> Table:
    """Money takes the place of the time to the prompt's score, where prices are given."""
    priced = _priced(found)
    last = _("money") if priced else _("to score")
    rows = _rows(_("memory"), _("energy"), _("latency"), "95%", _("switch"), last)
    for name, method in found["methods"].items():
        latency = method["latency"] or {}
        rows.add_row(
            named(name),
            size(method["peak_memory_bytes"]) if method["peak_memory_bytes"] else "",
            energy(method["energy"]),
            answered_in(latency.get("median", 0.0)),
            answered_in(latency.get("p95", 0.0)),
            answered_in(method["switch_seconds"] or 0.0),
            price(method["money"]) if priced else reached(found, name),
            style=_style(found, name),
        )
    return rows


def _forgetting(found: Mapping[str, Any]) -> Table:
    """Loss on general text."""
    headers = (_("untouched"), _("attached"), _("change, 95%"), _("detached"), _("same"))
    rows = _rows(*headers)
    rows.columns[0].header = _("loss on general text")
    for name, method in found["methods"].items():
        told = method["forgetting"]
        if not told:
            continue
        loss, same = told["loss"], told["detached_identical"]
        rows.add_row(
            named(name),
            *(number(loss[state], 3) for state in ("untouched", "attached")),
            change(loss) or "–",
            "–" if loss["detached"] is None else number(loss["detached"], 3),
            "–" if same is None else percent(same, 0),
            style=_style(found, name),
        )
    return rows


def _other(found: Mapping[str, Any]) -> Table | None:
    """Scores on another task; None where none was asked for."""
    told = {
        name: method["forgetting"]["other"]
        for name, method in found["methods"].items()
        if method["forgetting"] and method["forgetting"]["other"]
    }
    if not told:
        return None
    rows = _rows(_("untouched"), _("attached"), _("detached"))
    rows.columns[0].header = title_of_other(next(iter(told.values())))
    for name, other in told.items():
        states = (score_of(other[state]) for state in ("untouched", "attached", "detached"))
        rows.add_row(named(name), *(text or "–" for text in states), style=_style(found, name))
    return rows


def _kept_to(found: Mapping[str, Any]) -> Table:
    """How far answers keep to the form and the terms that the task demands."""
    methods = found["methods"].values()
    told = [key for key in _ADHERENCE if any(key in _adherence(m["test"]) for m in methods)]
    rows = _rows(*(_(_ADHERENCE[key]) for key in told))
    for name, method in found["methods"].items():
        kept = _adherence(method["test"])
        shown = (percent(kept[key]) if key in kept else "" for key in told)
        rows.add_row(named(name), *shown, style=_style(found, name))
    return rows


def _adherence(test: Mapping[str, Any]) -> dict[str, float]:
    return {key: test[key] for key in _ADHERENCE if test.get(key) is not None}


def _priced(found: Mapping[str, Any]) -> bool:
    return any(method["money"] is not None for method in found["methods"].values())


def _rows(*headers: str) -> Table:
    rows = table("", *headers)
    # Where it is too narrow for all, names take two lines, and no number is cut.
    for column in rows.columns[1:]:
        column.no_wrap = True
    # One space between columns leaves room for long names.
    rows.padding = (0, 1, 0, 0)
    return rows


def _style(found: Mapping[str, Any], name: str) -> str:
    return "bold" if decided(found) == name else ""


def _spent(method: Mapping[str, Any]) -> float:
    """Seconds of search and training."""
    seconds = method["seconds"]
    return float(seconds.get("search", 0.0) + seconds.get("training", 0.0))
