"""What a comparison shows people: a table of methods, and which of them to choose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from softprompt.cli.amounts import measure_name, size
from softprompt.cli.tables import table
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
    methods, metric = found["methods"], found["metric"]
    if methods:
        headers = (measure_name(metric), "95%", "p", _("numbers"), _("saved"), _("time"))
        rows = table("", *headers)
        for column in rows.columns:
            column.no_wrap = True
        for name, method in methods.items():
            rows.add_row(
                _named(name),
                percent(method["test"][metric]),
                _interval(method["test"], metric),
                "" if method["p_value"] is None else number(method["p_value"], 3),
                _short(method["trainable_parameters"]),
                size(method["stored_bytes"]) if method["stored_bytes"] else "",
                _clock(sum(method["seconds"].values())) if method["seconds"] else "",
                style="bold" if name == "soft_prompt" else "",
            )
        console.print(rows)
        console.print(
            _("p: the chance of so large a difference from the soft prompt if both were equal."),
            style="dim",
            soft_wrap=True,
        )
    for name, reason in found["errors"].items():
        console.print(_("{method}: {reason}").format(method=_named(name), reason=reason))
    counts = [method["test"]["n"] for method in methods.values()]
    _recommend(console, found["recommendation"], max(counts, default=0))


def _recommend(console: Console, chosen: Mapping[str, Any] | None, rows: int) -> None:
    if chosen is None:
        return
    name, best = _named(chosen["method"]), _named(chosen["best"])
    if chosen["method"] == chosen["best"]:
        text = _("Choose: {method}. Nothing cheaper comes close.").format(method=name)
    else:
        text = _(
            "Choose: {method}. On these {n} test rows nothing is better beyond chance; {best} is "
            "{points} points ahead (p = {p}), and more test rows may tell them apart."
        ).format(
            method=name,
            best=best,
            n=number(rows),
            points=number(chosen["points"], 1),
            p=number(chosen["p_value"], 2),
        )
    console.print(text, soft_wrap=True)


def _named(method: str) -> str:
    """A method as people call it."""
    return _(_NAMES[method]) if method in _NAMES else method


def _interval(test: Mapping[str, Any], metric: str) -> str:
    """The metric's interval in whole points."""
    low, high = test.get(f"{metric}_interval") or test["interval"]
    return f"{number(100 * low)}–{number(100 * high)}"


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds as a clock shows them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _short(count: int) -> str:
    """A count in a few characters; nothing for none."""
    if not count:
        return ""
    for unit, name in ((1_000_000, "M"), (1_000, "k")):
        if count >= unit:
            return f"{number(count / unit, 1)} {name}"
    return number(count)
