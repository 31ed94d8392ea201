"""What a comparison shows people: a table of methods, and which of them to choose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from softprompt.cli.amounts import duration, measure_name, size
from softprompt.cli.tables import main_measure, table
from softprompt.locale import _, mark, number, percent

__all__ = ["show_comparison"]

_NAMES = {
    "majority": mark("majority guess"),
    "zero_shot": mark("best hand prompt"),
    "few_shot": mark("examples in context"),
    "soft_prompt": mark("soft prompt"),
    "lora": mark("LoRA"),
    "full": mark("full fine-tuning"),
}


def show_comparison(console: Console, found: Mapping[str, Any]) -> None:
    """The table and the recommendation.

    Args:
        console: to print on.
        found: the report.
    """
    methods = found["methods"]
    if methods:
        first = main_measure(next(iter(methods.values()))["test"])
        rows = table(
            "", measure_name(first), _("95% interval"), "p", _("numbers"), _("saved"), _("time")
        )
        if found["metric"] != first:
            rows.add_column(measure_name(found["metric"]), justify="right")
        for name, method in methods.items():
            low, high = method["test"]["interval"]
            cells = [
                _named(name),
                percent(method["test"][first]),
                f"{number(100 * low, 1)}–{number(100 * high, 1)}",
                "" if method["p_value"] is None else number(method["p_value"], 3),
                _short(method["trainable_parameters"]),
                size(method["stored_bytes"]) if method["stored_bytes"] else "",
                duration(sum(method["seconds"].values())) if method["seconds"] else "",
            ]
            if found["metric"] != first:
                cells.append(percent(method["test"][found["metric"]]))
            rows.add_row(*cells, style="bold" if name == "soft_prompt" else "")
        console.print(rows)
        console.print(
            _("p: the chance of so large a difference from the soft prompt if both were equal."),
            style="dim",
        )
    for name, reason in found["errors"].items():
        console.print(_("{method}: {reason}").format(method=_named(name), reason=reason))
    _recommend(console, found["recommendation"])


def _recommend(console: Console, chosen: Mapping[str, Any] | None) -> None:
    if chosen is None:
        return
    name, best = _named(chosen["method"]), _named(chosen["best"])
    if chosen["method"] == chosen["best"]:
        text = _("Choose: {method}. Nothing cheaper comes close.").format(method=name)
    else:
        text = _(
            "Choose: {method}. {best} is {points} points better, no more than chance would make it "
            "(p = {p})."
        ).format(
            method=name,
            best=best,
            points=number(chosen["points"], 1),
            p=number(chosen["p_value"], 2),
        )
    console.print(text, soft_wrap=True)


def _named(method: str) -> str:
    """A method as people call it."""
    return _(_NAMES[method]) if method in _NAMES else method


def _short(count: int) -> str:
    """A count in a few characters; nothing for none."""
    if not count:
        return ""
    for unit, name in ((1_000_000, "M"), (1_000, "k")):
        if count >= unit:
            return f"{number(count / unit, 1)} {name}"
    return number(count)
