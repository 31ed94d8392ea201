"""Which method to choose, by one rule that reads nothing but answers to the test rows.

The cheapest method, of those whose answers tell anything of the rows, that the best one does not
beat beyond chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from softprompt.comparison.methods import METHODS
from softprompt.comparison.significance import LEVEL, guessing_p_value, p_value
from softprompt.evaluation import value
from softprompt.tasks import Task

__all__ = ["recommendation"]

Results = Mapping[str, Mapping[str, Any]]
"""What was measured, by method (see `softprompt.comparison.measures`)."""


def recommendation(
    task: Task, references: Sequence[str], results: Results, metric: str
) -> dict[str, Any] | None:
    """What to choose.

    Args:
        task: whose test rows were answered.
        references: right answers to them.
        results: what was measured.
        metric: that methods are compared by.

    Returns:
        `method`, `best`, and between the two `points` and `p_value`; `level`; `guesses`, where
        nothing told anything of the rows; `told_apart`, whether the best differs from every other
        beyond chance; where the best is chosen, `cheaper` with the same of the best of what is
        cheaper. A row that a method left out is wrong here. None where nothing was measured.
    """
    if not results:
        return None
    # Who leaves out the long rows has them wrong, or three rows would do beside a thousand.
    answers = {
        name: ["" if answer is None else answer for answer in result["answers"]]
        for name, result in results.items()
    }
    scores = {
        name: value(result["test"], metric) * _answered_share(result["answers"])
        for name, result in results.items()
    }
    telling = [name for name in results if _tells(task, references, answers[name], name, metric)]
    # What makes no use of the rows may be as good as what does: the majority guess by accuracy.
    pool = [*telling, *(name for name in results if METHODS.get(name).way is None)]
    best = max(pool or results, key=lambda name: scores[name])
    apart = {
        name: p_value(task.labels, metric, references, answers[name], answers[best], task.demands)
        for name in results
        if name != best
    }

    def behind(name: str) -> float:
        return round(100 * (scores[best] - scores[name]), 3)

    order = sorted(results, key=lambda name: METHODS.get(name).cost)
    chosen = next(
        name for name in order if name == best or (name in pool and not _beyond(apart[name]))
    )
    cheaper = {name: apart[name] for name in order[: order.index(best)]}
    return {
        "method": chosen,
        "best": best,
        "p_value": apart.get(chosen),
        "points": behind(chosen),
        "level": LEVEL,
        "guesses": not telling or METHODS.get(chosen).way is None,
        "told_apart": all(map(_beyond, apart.values())),
        "cheaper": _nearest(cheaper, behind, telling) if chosen == best else None,
    }


def _tells(
    task: Task, references: Sequence[str], answers: Sequence[str], name: str, metric: str
) -> bool:
    """Whether a method's answers have to do with the rows beyond chance."""
    if METHODS.get(name).way is None:
        return False
    chance = guessing_p_value(task.labels, metric, references, answers)
    return chance is None or chance < LEVEL


def _beyond(chance: float | None) -> bool:
    return chance is None or chance < LEVEL


def _nearest(
    cheaper: Mapping[str, float | None], behind: Callable[[str], float], telling: Sequence[str]
) -> dict[str, Any] | None:
    """The best of the methods that are cheaper than the best of all; None without any."""
    if not cheaper:
        return None
    name = min(cheaper, key=behind)
    own = {"points": behind(name), "p_value": cheaper[name]}
    return {"method": name, **own, "guesses": name not in telling}


def _answered_share(answers: Sequence[str | None]) -> float:
    return sum(answer is not None for answer in answers) / max(1, len(answers))
