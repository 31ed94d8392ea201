"""Which way to adapt a model suits a situation: by measurements, or by rules where there are none.

Where the report of a comparison is given, its measurements decide: the cheapest way that the best
one does not beat beyond chance or, where the best quality is asked for, the best one. Without one,
rules of thumb give points for and against every way, each with its reason; they are opinions that
follow from how the methods work, no measurements.
What rules out a way (texts that may not leave the house) rules it out in both cases.

It does not know any prices, and has measured no model behind an API.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from softprompt.comparison.methods import METHODS
from softprompt.comparison.report import VERSION
from softprompt.comparison.significance import LEVEL, can_tell
from softprompt.comparison.verdicts import guesses, told_apart
from softprompt.errors import UsageError
from softprompt.locale import _, mark

__all__ = ["OPTIONS", "RULES", "Rule", "Situation", "advise"]

OPTIONS: Mapping[str, str] = {
    "hand_prompt": mark("a prompt by hand"),
    "soft_prompt": mark("a soft prompt"),
    "lora": mark("LoRA"),
    "full": mark("full fine-tuning"),
    "hosted": mark("a hosted model behind an API"),
}
"""Ways, the cheapest to make first, as people call them."""


@dataclass(frozen=True)
class Situation:
    """What somebody has and wants; None where it is not said.

    Args:
        rows: labelled rows at hand.
        hardware: `none`, `cpu` (a laptop or server without a graphics card), `gpu` (one card).
        tasks: how many tasks the same model shall do.
        quality: `good` enough at little cost, or the `best` there is.
        private: whether texts may not leave the house.
        output: `label`, `text` or `structured` (JSON, fields, a fixed form).
        changes: how often the task changes: `rarely`, `monthly` or `daily`.
    """

    rows: int | None = None
    hardware: Literal["none", "cpu", "gpu"] | None = None
    tasks: int | None = None
    quality: Literal["good", "best"] | None = None
    private: bool | None = None
    output: Literal["label", "text", "structured"] | None = None
    changes: Literal["rarely", "monthly", "daily"] | None = None

    def filled(self) -> tuple[Situation, list[str]]:
        """With what most people have where nothing is said, and the names of what was assumed."""
        assumed = [f.name for f in fields(self) if getattr(self, f.name) is None]
        values = {
            f.name: _USUAL[f.name] if f.name in assumed else getattr(self, f.name)
            for f in fields(self)
        }
        return Situation(**values), assumed


_USUAL: Mapping[str, Any] = {
    "rows": 500,
    "hardware": "cpu",
    "tasks": 1,
    "quality": "good",
    "private": False,
    "output": "label",
    "changes": "rarely",
}


@dataclass(frozen=True)
class Rule:
    """A rule of thumb.

    Args:
        name: short.
        of: what of the situation it looks at.
        applies: whether it does, from the situation.
        points: for (above 0) and against each way.
        why: one sentence, marked for translation.
    """

    name: str
    of: str
    applies: Callable[[Any], bool]
    points: Mapping[str, float]
    why: str


RULES: tuple[Rule, ...] = (
    Rule(
        "few_rows",
        "rows",
        lambda s: s.rows < 20,
        {"hand_prompt": 3, "hosted": 2, "soft_prompt": -2, "lora": -3, "full": -4},
        mark("Fewer than 20 labelled rows are too few to train on and to measure with."),
    ),
    Rule(
        "some_rows",
        "rows",
        lambda s: 20 <= s.rows < 200,
        {"hand_prompt": 1, "soft_prompt": 2, "full": -2},
        mark("Some dozens of rows carry a few vectors; a whole model learns them by heart."),
    ),
    Rule(
        "enough_rows",
        "rows",
        lambda s: 200 <= s.rows < 2000,
        {"soft_prompt": 2, "lora": 1, "hand_prompt": -1},
        mark("Hundreds of rows are what a soft prompt is trained on."),
    ),
    Rule(
        "many_rows",
        "rows",
        lambda s: s.rows >= 2000,
        {"lora": 2, "full": 2, "hand_prompt": -2},
        mark("Thousands of rows pay for more trained numbers."),
    ),
    Rule(
        "no_machine",
        "hardware",
        lambda s: s.hardware == "none" and not s.private,
        {"hosted": 4, "hand_prompt": 0, "soft_prompt": -1, "lora": -2, "full": -3},
        mark("Without a machine to train or serve on, somebody else's has to do it."),
    ),
    Rule(
        "no_machine_of_ones_own",
        "hardware",
        lambda s: s.hardware == "none" and s.private,
        {"hand_prompt": 0, "soft_prompt": -1, "lora": -2, "full": -3},
        mark("Texts that may not leave need a machine of your own first; a small one will do."),
    ),
    Rule(
        "no_graphics_card",
        "hardware",
        lambda s: s.hardware == "cpu",
        {"soft_prompt": 1, "lora": -1, "full": -2},
        mark("On a processor alone, training few vectors over cached contexts is what is fast."),
    ),
    Rule(
        "graphics_card",
        "hardware",
        lambda s: s.hardware == "gpu",
        {"lora": 1, "full": 0.5},
        mark("A graphics card makes training weights practicable."),
    ),
    Rule(
        "several_tasks",
        "tasks",
        lambda s: s.tasks >= 3,
        {"soft_prompt": 2, "lora": 1, "full": -2},
        mark(
            "Several tasks share one model where each keeps little beside it, as prompts do most."
        ),
    ),
    Rule(
        "best_quality",
        "quality",
        lambda s: s.quality == "best",
        {"lora": 1, "full": 2, "hosted": 1, "hand_prompt": -2},
        mark("The last points usually come from more trained weights, or a larger model."),
    ),
    Rule(
        "good_enough",
        "quality",
        lambda s: s.quality == "good",
        {"soft_prompt": 1, "hand_prompt": 0.5},
        mark("Where good is enough, the cheapest that gets there is right."),
    ),
    Rule(
        "labels",
        "output",
        lambda s: s.output == "label",
        {"soft_prompt": 1},
        mark("Choosing among labels needs no new abilities, only directions."),
    ),
    Rule(
        "free_text",
        "output",
        lambda s: s.output == "text",
        {"lora": 1, "hosted": 1},
        mark("Writing well depends on the model itself; weights or a larger model help most."),
    ),
    Rule(
        "fixed_form",
        "output",
        lambda s: s.output == "structured",
        {"lora": 1, "soft_prompt": 0.5, "hand_prompt": -1},
        mark("A fixed form is kept more reliably when it was trained than when it is asked for."),
    ),
    Rule(
        "changes_daily",
        "changes",
        lambda s: s.changes == "daily",
        {"hand_prompt": 2, "hosted": 1, "lora": -1, "full": -3},
        mark("What changes every day is rewritten faster than it is trained."),
    ),
    Rule(
        "changes_monthly",
        "changes",
        lambda s: s.changes == "monthly",
        {"soft_prompt": 1, "full": -1},
        mark("What changes every month must be cheap to train again."),
    ),
)


def advise(situation: Situation, report: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A recommendation with its reasons, as plain data.

    Args:
        situation: as far as it is known.
        report: of a comparison.

    Returns:
        `choice` (see `OPTIONS`; None where nothing that was measured beats guessing, and texts may
        not leave or too little was measured to tell), `basis` (`measurements` or
        `rules_of_thumb`), `reasons` and `against` (rules and points that speak for the choice and
        against it; beside measurements only those that look at what was said), `points` of every
        way, `excluded`, `assumed`, and `measured` where there is a report.

    Raises:
        UsageError: the report is none, or has nothing measured.
    """
    choice: str | None
    full, assumed = situation.filled()
    excluded = ["hosted"] if full.private else []
    points = {name: 0.0 for name in OPTIONS if name not in excluded}
    applied = [rule for rule in RULES if rule.applies(full)]
    for rule in applied:
        for name in points:
            points[name] += rule.points.get(name, 0.0)
    measured = None if report is None else _read(report, full.quality)
    if measured is not None and measured["undecided"]:
        choice, basis = None, "measurements"
    elif measured is not None and measured["option"] in points:
        choice, basis = measured["option"], "measurements"
    elif measured is not None:
        # Nothing beats guessing: a larger model has to be found, elsewhere only where it is known
        # that texts may leave, and that it is the model that lacks something.
        may_leave = "hosted" in points and "private" not in assumed
        elsewhere = may_leave and measured["lacking"] is None
        choice, basis = "hosted" if elsewhere else None, "measurements"
    else:
        # Of equal points the cheaper way, which stands first.
        choice, basis = max(points, key=lambda name: points[name]), "rules_of_thumb"
    said = [rule for rule in applied if basis == "rules_of_thumb" or rule.of not in assumed]
    if measured is not None and measured["option"] == choice and measured["combined"]:
        said = []  # They are rules of one way, not of two together.
    told = [(rule, rule.points.get(choice or "", 0.0)) for rule in said]
    return {
        "choice": choice,
        "basis": basis,
        "situation": {f.name: getattr(full, f.name) for f in fields(full)},
        "assumed": assumed,
        "reasons": [_reason(rule, count) for rule, count in told if count > 0],
        "against": [_reason(rule, count) for rule, count in told if count < 0],
        "points": points,
        "excluded": excluded,
        "measured": measured,
    }


def _reason(rule: Rule, points: float) -> dict[str, Any]:
    return {"rule": rule.name, "points": points, "why": _(rule.why)}


def _read(report: Mapping[str, Any], quality: str | None) -> dict[str, Any]:
    """What a report says, or a mistake where it is none.

    Raises:
        UsageError: it is no report, something of it is missing, or it has nothing measured.
    """
    try:
        return _measured(report, quality)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            _("Something is missing or damaged in the report: {what}.").format(what=error),
            _("Give the report.json that `softprompt compare` wrote."),
        ) from error


def _recommendation(report: Mapping[str, Any]) -> dict[str, Any]:
    """What a report recommends.

    Raises:
        UsageError: it is no report, or has nothing measured.
    """
    if report.get("format") != VERSION or not {"methods", "metric", "recommendation"} <= {*report}:
        raise UsageError(
            _("This is no report of a comparison (format {format!r}).").format(
                format=report.get("format")
            ),
            _("Give the report.json that `softprompt compare` wrote."),
        )
    chosen = report["recommendation"]
    ways = [METHODS.get(name).way for name in report["methods"] if name in METHODS]
    errors = report.get("errors", {}).values()
    if not report["methods"] and errors and all(told["kind"] == "refused" for told in errors):
        raise UsageError(
            _("The comparison could take none of its methods with this backbone."),
            _("Compare others with --methods, or choose another backbone."),
        )
    if chosen is None or not any(ways):
        raise UsageError(
            _("The report has no measurements yet."),
            _("Go on with `softprompt compare --resume DIR` first."),
        )
    return dict(chosen)


def _measured(report: Mapping[str, Any], quality: str | None) -> dict[str, Any]:
    """What a report says for the quality that is asked for, and the numbers behind it.

    `option` is None where no method that was measured is better than guessing; `cheapest`
    is the cheapest method that `best` does not beat beyond chance. `lacking` is what keeps that
    from telling something of the model: no method that learns (`learning`), or too few test `rows`;
    None where neither does. `undecided`: too few rows to tell the chosen method from one that goes
    another way. `combined`: the method is a prompt over what another way has trained.

    Raises:
        UsageError: it is no report, or has nothing measured.
    """
    chosen = _recommendation(report)
    metric, cheapest, best = report["metric"], chosen["method"], chosen["best"]
    beyond_guessing = not guesses(chosen)
    name = best if quality == "best" and beyond_guessing else cheapest
    rows = max(int(told["test"]["n"]) for told in report["methods"].values())
    # Two methods of one way are the same advice, whichever of them is better.
    other = cheapest == best or METHODS.get(best).way != METHODS.get(cheapest).way
    apart = told_apart(chosen) or can_tell(rows)
    return {
        "option": METHODS.get(name).way if beyond_guessing else None,
        "lacking": _lacking(report["methods"], rows),
        "undecided": beyond_guessing and other and not apart,
        "combined": METHODS.get(name).reads_prompt and METHODS.get(name).way != "soft_prompt",
        "method": name,
        "cheapest": cheapest,
        "cheaper": _nearest(chosen.get("cheaper")),
        "best": best,
        "points_behind": float(chosen["points"]),
        "p_value": None if chosen["p_value"] is None else float(chosen["p_value"]),
        "level": LEVEL,
        "metric": metric,
        "test_rows": rows,
        "methods": {
            each: {
                "title": METHODS.get(each).title if each in METHODS else each,
                "score": float(told["test"][metric]),
                "stored_bytes": int(told["stored_bytes"]),
                "seconds": sum(
                    float((told["seconds"] or {}).get(stage, 0.0))
                    for stage in ("search", "training")
                ),
            }
            for each, told in report["methods"].items()
        },
    }


def _nearest(told: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The best of what is cheaper than the best of all; reports of before say nothing of it."""
    if told is None:
        return None
    p = told["p_value"]
    return {
        "method": str(told["method"]),
        "points": float(told["points"]),
        "p_value": None if p is None else float(p),
        "guesses": bool(told.get("guesses", False)),
    }


def _lacking(methods: Iterable[str], rows: int) -> str | None:
    """What is too little measured to say that a model does not carry a task."""
    if not any(METHODS.get(name).trains for name in methods if name in METHODS):
        return "learning"
    return None if can_tell(rows) else "rows"
