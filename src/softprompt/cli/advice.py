"""Advice as people read it: the choice, what it rests on, the reasons, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from softprompt.cli.amounts import duration, measure_name
from softprompt.cli.tables import table
from softprompt.comparison.advice import OPTIONS
from softprompt.comparison.verdicts import beside_best, undecided
from softprompt.comparison.words import named
from softprompt.locale import _, mark, number, percent, size

__all__ = ["QUESTIONS", "show_advice"]

QUESTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "rows": (mark("How many labelled rows are there?"), ()),
    "hardware": (mark("What is there to compute on?"), ("none", "cpu", "gpu")),
    "tasks": (mark("How many tasks shall the model do?"), ()),
    "quality": (mark("What quality is needed?"), ("good", "best")),
    "private": (mark("Must the texts stay in the house?"), ("no", "yes")),
    "output": (mark("What comes out?"), ("label", "text", "structured")),
    "changes": (mark("How often does the task change?"), ("rarely", "monthly", "daily")),
}
"""What is asked, and the answers there are; a number where there are none."""

_NEXT = {
    "hand_prompt": mark(
        "Try wordings: `softprompt compare DATA --methods zero_shot,few_shot --output DIR`."
    ),
    "soft_prompt": mark("Train one: `softprompt tune DATA --output DIR`."),
    "lora": mark(
        "Measure it: `softprompt compare DATA --methods soft_prompt,lora_suffix,lora --output DIR`."
    ),
    "full": mark(
        "Measure it: `softprompt compare DATA --methods soft_prompt,lora,full --output DIR`."
    ),
    "hosted": mark("Measure it on rows of your own before you rely on it; none was measured here."),
}


_GUESSING = {
    None: mark(
        "Measured on {n} test rows: nothing is better than guessing beyond chance. This model "
        "does not carry the task; try a larger one or more rows."
    ),
    "rows": mark(
        "Measured on {n} test rows: nothing is better than guessing beyond chance, and on so few "
        "rows a gain of ten points would not be. Measure on more of them."
    ),
    "learning": mark(
        "Measured on {n} test rows: nothing is better than guessing beyond chance, and no method "
        "that learns is measured. Measure one: `softprompt compare --resume DIR --methods "
        "soft_prompt`."
    ),
}


def show_advice(console: Console, found: Mapping[str, Any]) -> None:
    """The choice and its reasons.

    Args:
        console: to print on.
        found: what `softprompt.comparison.advice` gives.
    """
    choice = found["choice"]
    headline = _("Nothing can be recommended yet.")
    if choice is not None:
        headline = _("Recommended: {way}.").format(way=_way(choice, found["measured"]))
    console.print(headline, style="bold", soft_wrap=True)
    if found["measured"] is not None:
        _measurements(console, found["measured"])
    else:
        console.print(
            _("This rests on rules of thumb; nothing was measured for it. Measure on your own rows "
              "with `softprompt compare`."),
            soft_wrap=True,
        )  # fmt: skip
    for reason in found["reasons"]:
        why = reason["why"]
        console.print(f"- {why}", soft_wrap=True)
    for reason in found["against"]:
        why = reason["why"]
        console.print("- " + _("Against it: {why}").format(why=why), soft_wrap=True)
    if "hosted" in found["excluded"]:
        console.print("- " + _("An API is ruled out: the texts must stay."), soft_wrap=True)
    if found["measured"] is None:
        ranked = sorted(found["points"], key=lambda name: -found["points"][name])
        if len(ranked) > 1:
            second = ranked[1]
            way = _(OPTIONS[second])
            console.print(_("Next best: {way}.").format(way=way), soft_wrap=True)
    if found["assumed"] and found["measured"] is None:
        values = found["situation"]
        told = ", ".join(f"{name} = {_said(values[name])}" for name in found["assumed"])
        console.print(_("Assumed: {values}.").format(values=told), style="dim", soft_wrap=True)
    # No report measures what stands behind an API.
    if found["measured"] is None or choice == "hosted":
        console.print(_(_NEXT[choice]), soft_wrap=True)


def _way(choice: str, measured: Mapping[str, Any] | None) -> str:
    """What is chosen: of what was measured the method itself, which may be of two ways."""
    if measured is None or measured["option"] != choice:
        return _(OPTIONS[choice])
    return named(measured["method"])


def _measurements(console: Console, measured: Mapping[str, Any]) -> None:
    """What was measured, and how the choice follows from it."""
    rows = table("", measure_name(measured["metric"]), _("saved"), _("time"))
    for name, told in measured["methods"].items():
        rows.add_row(
            named(name),
            percent(told["score"]),
            size(told["stored_bytes"]) if told["stored_bytes"] else "",
            duration(told["seconds"]) if told["seconds"] else "",
            style="bold" if name == measured["method"] else "",
        )
    console.print(rows)
    values = {
        "method": named(measured["method"]),
        "cheapest": named(measured["cheapest"]),
        "best": named(measured["best"]),
        "n": number(measured["test_rows"]),
        "points": number(measured["points_behind"], 1),
        "p": "" if measured["p_value"] is None else number(measured["p_value"], 2),
    }
    if measured["option"] is None:
        text = _(_GUESSING[measured["lacking"]])
    elif measured["undecided"]:
        cheapest = {"method": measured["cheapest"], "best": measured["best"]}
        sentence, values["method"] = undecided(cheapest), values["cheapest"]
        text = _(sentence)
    elif measured["cheapest"] != measured["method"]:
        text = _(
            "Measured on {n} test rows: {best} scores highest, which is what you ask for; "
            "{cheapest} is cheaper and {points} points behind, no more than chance (p = {p})."
        )
    elif measured["method"] == measured["best"]:
        text = _("Measured on {n} test rows: {method} is best. {beside}")
        values["beside"] = beside_best(measured, measured["methods"])
    else:
        text = _(
            "Measured on {n} test rows: {method} is the cheapest that is not beaten beyond chance; "
            "{best} is {points} points ahead (p = {p})."
        )
    console.print(text.format(**values), soft_wrap=True)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, int) else str(value)
