"""What a comparison comes to, in the language in use: what to choose and why, how far it went.

The terminal, the page and the advice say the same; all read the report and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from softprompt.comparison.methods import METHODS
from softprompt.comparison.significance import can_tell
from softprompt.comparison.words import chance, named
from softprompt.locale import _, mark, number

__all__ = [
    "beside_best",
    "decided",
    "escalation",
    "guesses",
    "recommended",
    "told_apart",
    "undecided",
]

_UNDECIDED = mark(
    "Measured on {n} test rows, too few to tell the methods apart: {best} scores highest, {points} "
    "points ahead of {method}, the cheapest that is not beaten beyond chance (p = {p}). Measure on "
    "more of them."
)
_UNDECIDED_BEST = mark(
    "Measured on {n} test rows, too few to tell the methods apart: none scores higher than {best}. "
    "Measure on more of them."
)
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
    "says_nothing": mark(
        "Stopped after {method}: on the validation rows it is not better than guessing beyond "
        "chance (p = {p})."
    ),
    "all_measured": mark("Every step paid on the validation rows, so all methods are measured."),
    "some_failed": mark(
        "Every step that could be measured paid on the validation rows; others could not be."
    ),
}
_DEARER = {False: mark("Nothing dearer is measured."), True: mark("Nothing dearer is better.")}
"""By whether anything was."""


def beside_best(chosen: Mapping[str, Any], methods: Iterable[str]) -> str:
    """How what was measured beside the best method, which is chosen, compares with it.

    Args:
        chosen: the recommendation.
        methods: that were measured.
    """
    # A report of another version may have methods that this one does not know.
    costs = [METHODS.get(method).cost for method in methods if method in METHODS]
    own = METHODS.get(chosen["best"]).cost
    dearer = _(_DEARER[any(cost > own for cost in costs)])
    nearest = chosen.get("cheaper")
    if nearest is not None:
        text = _("The best of what is cheaper, {method}, is {points} points behind{chance}.")
        if nearest.get("guesses"):
            text = _("The best of what is cheaper, {method}, is no better than guessing.")
        points = number(nearest["points"], 1)
        told = text.format(
            method=named(nearest["method"]), points=points, chance=_beyond(nearest["p_value"])
        )
    elif any(cost < own for cost in costs):
        told = _("What is cheaper is beaten beyond chance.")
    else:
        return dearer if any(cost > own for cost in costs) else _("Nothing else is measured.")
    return f"{told} {dearer}"


def _beyond(p: float | None) -> str:
    """A chance in brackets, after a difference; nothing where there is none."""
    if p is None:
        return ""
    told = chance(p)
    return f" (p {told})" if told.startswith("<") else f" (p = {told})"


def decided(found: Mapping[str, Any]) -> str | None:
    """The method to choose; None where nothing is better than guessing, or test rows are too few to
    tell methods apart."""
    chosen = found["recommendation"]
    if chosen is None or guesses(chosen):
        return None
    if not (told_apart(chosen) or can_tell(_tested(found))):
        return None
    return str(chosen["method"])


def told_apart(chosen: Mapping[str, Any]) -> bool:
    """Whether the best method differs from every other beyond chance, however few the rows are;
    reports of before tell it of the cheaper ones."""
    return bool(chosen.get("told_apart", chosen["method"] == chosen["best"]))


def guesses(chosen: Mapping[str, Any]) -> bool:
    """Whether what is chosen says nothing of the rows, as nothing that was measured does."""
    return bool(chosen.get("guesses", METHODS.get(chosen["method"]).way is None))


def undecided(chosen: Mapping[str, Any]) -> str:
    """What is said where rows are too few, with places for numbers and names."""
    return _UNDECIDED if chosen["method"] != chosen["best"] else _UNDECIDED_BEST


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
    if guesses(chosen):
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
    text = undecided(chosen)
    if decided(found) is not None:
        if chosen["method"] == chosen["best"]:
            told = _("Choose: {method}.").format(method=name)
            return f"{told} {beside_best(chosen, found['methods'])}"
        text = mark(
            "Choose: {method}. On these {n} test rows nothing is better beyond chance; {best} is "
            "{points} points ahead (p = {p}), and more test rows may tell them apart."
        )
    return _(text).format(
        method=name,
        best=best,
        n=number(rows),
        points=number(chosen["points"], 1),
        p="" if chosen["p_value"] is None else number(chosen["p_value"], 2),
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
        p="–" if last["p_value"] is None else chance(last["p_value"]),
    )
