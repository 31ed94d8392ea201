"""Whether the next, dearer method is worth its cost: decided on validation rows alone.

The methods without training are one step, since they cost next to nothing; every other method is a
step of its own. After a step it stops

- where the validation rows are so few that no difference would be beyond chance, or not even right
  answers throughout while the best so far is below 0.8 (`too_few_rows`),
- where even a method that answers every validation row rightly would not be better beyond chance
  than the best so far (`no_room`),
- where a method that was trained is not better beyond chance than the best of the cheaper ones
  (`does_not_pay`), or
- where it is, and yet not better than guessing beyond chance (`says_nothing`): by macro-F1 answers
  of a coin are better than the same one throughout.

Rows that a method leaves out count as wrong where the best is chosen; two methods are compared on
the rows that both have answered.

Pure functions of answers; it does not run anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from softprompt.comparison.significance import (
    LEVEL,
    guessing_p_value,
    p_value,
    shared_scores,
)
from softprompt.locale import _

__all__ = ["Held", "Step", "judged", "not_measured", "steps_of"]

_NEARLY_ALL = 0.8
"""A score that leaves little to gain."""


@dataclass(frozen=True)
class Held:
    """A method's answers to the validation rows.

    Args:
        name: of the method.
        trained: whether it learned.
        score: the metric on these rows.
        answers: in order.
    """

    name: str
    trained: bool
    score: float
    answers: Sequence[str | None]


@dataclass(frozen=True)
class Step:
    """What was decided after a method.

    Args:
        method: the best of the step.
        than: the best of the cheaper ones, or None.
        p_value: of the difference between the two, of the distance to all right or to guessing.
        decision: `go_on`, `too_few_rows`, `no_room`, `does_not_pay` or `says_nothing`.
        points: that the method is ahead of the other, on the rows that both have answered; None
            where they were not compared.
    """

    method: str
    than: str | None
    p_value: float | None
    decision: str
    points: float | None = None


def steps_of(methods: Sequence[tuple[str, bool]]) -> list[list[str]]:
    """Names in steps.

    Args:
        methods: name and whether it trains, the cheapest first.
    """
    first = [name for name, trains in methods if not trains]
    return [*([first] if first else []), *([name] for name, trains in methods if trains)]


def judged(
    labels: Sequence[str],
    metric: str,
    references: Sequence[str],
    before: Sequence[Held],
    now: Sequence[Held],
    demands: Mapping[str, Any] | None = None,
) -> Step:
    """What follows from a step.

    Args:
        labels: of the choices; empty for free text.
        metric: name.
        references: right answers to the validation rows.
        before: methods of the steps before.
        now: methods of this step that have answers, at least one.
        demands: of the task on free text.
    """
    best = max(now, key=_worth)
    champion = max([*before, best], key=_worth)
    if 2.0 ** (1 - len(references)) >= LEVEL:
        # Less likely than this is nothing of so many rows that change places.
        return Step(best.name, None, None, "too_few_rows")
    room = p_value(labels, metric, references, champion.answers, list(references), demands)
    if room is not None and room >= LEVEL:
        # Where much is wrong and yet nothing would be better beyond chance, it is the rows.
        enough = champion.score >= _NEARLY_ALL
        return Step(best.name, None, room, "no_room" if enough else "too_few_rows")
    if not before or not best.trained:
        return Step(best.name, None, room, "go_on")
    rival = max(before, key=_worth)
    pair = best.answers, rival.answers
    chance = p_value(labels, metric, references, *pair, demands)
    # Each answers rows of its own where long ones are left out; those of both tell.
    mine, theirs = shared_scores(labels, metric, references, pair, demands) or (0.0, 0.0)
    better = mine > theirs and (chance is None or chance < LEVEL)
    decision = "go_on" if better else "does_not_pay"
    guessed = guessing_p_value(labels, metric, references, best.answers) if better else None
    if guessed is not None and guessed >= LEVEL:
        decision, chance = "says_nothing", guessed
    return Step(best.name, rival.name, chance, decision, 100 * (mine - theirs))


def _worth(held: Held) -> float:
    """Its score where rows that are not answered count as wrong: who leaves out long rows does not
    do so well."""
    answered = sum(answer is not None for answer in held.answers)
    return held.score * answered / max(1, len(held.answers))


def not_measured(escalation: Mapping[str, Any] | None) -> dict[str, str]:
    """Why a method has no result where nothing went wrong, as an error is written down.

    Args:
        escalation: how far one went and why no further (`stopped`); None where there was none.
    """
    stopped = None if escalation is None else escalation["stopped"]
    if stopped in ("no_room", "does_not_pay", "says_nothing"):
        return {"error": _("not needed: a cheaper method is enough"), "kind": "not_needed"}
    if stopped == "too_few_rows":
        return {"error": _("not measured: too few validation rows"), "kind": "too_few_rows"}
    return {"error": _("not measured yet"), "kind": "waiting"}
