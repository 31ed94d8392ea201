"""How good is the default run, and how far can one count on it? Five seeds on three tasks.

    python -m benchmarks.robustness [--data FOLDER] [--json]

The default `softprompt tune` beside PEFT prompt tuning at the best of four learning rates (chosen
on the validation rows of the first seed, then kept for all seeds) and full fine-tuning as in
`benchmarks.quality`. A seed draws the training rows, their order and the initial vectors; all sides
read the same rows and are scored the same way on the whole test file: macro-F1 for UIT-VSFC,
accuracy elsewhere, with labels that suit the metric on all sides. Differences are taken seed by
seed.

The ensemble's gain is that of the averaged probabilities of a run's survivors over the mean of the
same survivors, each answering alone; every default run measures both, whichever it keeps.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any, Literal

from benchmarks.data import METRIC
from benchmarks.report import Claim, claim, missing, show
from benchmarks.runs import Runs, add_arguments

__all__ = ["main", "points"]

Bound = tuple[float, Literal["at_least", "at_most"]]
BOUNDS: dict[str, Bound] = {
    "over_peft": (0.0, "at_least"),
    "below_full": (3.0, "at_most"),
    "ensemble_gain": (1.0, "at_least"),
    "spread": (1.5, "at_most"),
    "worst": (3.0, "at_most"),
}
Points = dict[str, dict[int, float]]
"""Test points by side and seed."""


def main() -> None:
    """Measures what is missing and reports everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    add_arguments(parser)
    arguments = parser.parse_args()
    runs, about = Runs.of(arguments)
    table: dict[str, Points] = {}
    chosen: dict[str, Any] = {}
    claims: list[Claim] = []
    for name in arguments.tasks.split(","):
        table[name] = points(runs, name, arguments.seeds)
        chosen[name] = _chosen(runs, name, arguments.seeds)
        claims += _claims(name, table[name], arguments.seeds, runs.why_missing(name))
    details = {
        **about,
        "points": table,
        "chosen": chosen,
    }
    show(claims, details, as_json=arguments.json)
    if not arguments.json:
        print()
        print(shown(table))


def points(runs: Runs, name: str, seeds: int) -> Points:
    """Test points of every side on a task.

    Args:
        runs: finished or to be made.
        name: of the task.
        seeds: how many.

    Returns:
        `ours`, `peft`, `full`, and of our runs `ensemble` and `members` (the mean of those).
    """
    found: Points = {side: {} for side in ("ours", "peft", "full", "ensemble", "members")}

    def points_of(test: Mapping[str, Any]) -> float:
        return 100 * float(test[METRIC[name]])

    for seed in range(seeds):
        sides = {
            "ours": runs.ours(name, seed),
            "peft": runs.prompt_tuning(name, seed),
            "full": runs.full(name, seed),
        }
        for side, cell in sides.items():
            if cell is not None:
                found[side][seed] = points_of(cell["test"])
        ours = sides["ours"]
        if ours is not None and ours["ensemble"] is not None:
            found["ensemble"][seed] = points_of(ours["ensemble"]["test"])
            found["members"][seed] = fmean(map(points_of, ours["ensemble"]["members_test"]))
    return found


def _chosen(runs: Runs, name: str, seeds: int) -> dict[str, Any]:
    """What each side decided: members kept by seed, learning rates and their scores."""
    cells = {seed: runs.ours(name, seed) for seed in range(seeds)}
    rates, full = runs.prompt_tuning_rates(name) or {}, runs.full(name, 0)
    return {
        "members": {seed: c["selection"]["members"] for seed, c in cells.items() if c is not None},
        "peft_validation": {f"{rate:g}": cell["validation"] for rate, cell in rates.items()},
        "full_rate": full["rate"] if full is not None else None,
    }


def _claims(name: str, table: Points, seeds: int, why: str) -> list[Claim]:
    ours = list(table["ours"].values())
    values: dict[str, Sequence[float]] = {
        "over_peft": _differences(table["ours"], table["peft"]),
        "below_full": _differences(table["full"], table["ours"]),
        "ensemble_gain": _differences(table["ensemble"], table["members"]),
        # One figure of several runs each.
        "spread": [stdev(ours)] if len(ours) > 1 else [],
        "worst": [max(ours) - min(ours)] if len(ours) > 1 else [],
    }
    claims = []
    for kind, (bound, direction) in BOUNDS.items():
        label, found = f"{kind}_{name}", values[kind]
        if not found:
            claims.append(missing(label, bound, direction, "points", why))
            continue
        n = len(ours) if kind in ("spread", "worst") else len(found)
        reason = f"{n} of {seeds} seeds are measured" if n < seeds else ""
        one = claim(label, found, bound, direction, "points", reason)
        claims.append(replace(one, n=n))
    return claims


def _differences(one: Mapping[int, float], other: Mapping[int, float]) -> list[float]:
    """One side minus the other, for the seeds that both have."""
    return [one[seed] - other[seed] for seed in one if seed in other]


def shown(table: Mapping[str, Points]) -> str:
    """Mean and standard deviation of every side's test points."""
    sides = {
        "ours": "ours",
        "peft": "PEFT",
        "full": "full tuning",
        "ensemble": "ensemble",
        "members": "members",
    }
    lines = [f"{'task':<8}" + "".join(f"{title:>14}" for title in sides.values())]
    for name, by_side in table.items():
        texts = []
        for side in sides:
            found = list(by_side[side].values())
            spread = f" ± {stdev(found):.1f}" if len(found) > 1 else ""
            texts.append(f"{fmean(found):.1f}{spread}" if found else "–")
        lines.append(f"{name:<8}" + "".join(f"{text:>14}" for text in texts))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
