"""How long until a prompt is as good as PEFT's? Seconds to PEFT's best validation score.

    python -m benchmarks.time_to_accuracy [--data FOLDER] [--json]

The score to reach is the best that PEFT prompt tuning has on the validation rows at the best of
four learning rates, in its best epoch. It is the task's own metric on both sides: macro-F1 for
UIT-VSFC, whose neutral class is 5% of the rows, accuracy elsewhere; for macro-F1 with the labels
that suit it best (`suited_score`).

PEFT's clock is that of its best run alone, until the end of the validation where it is best; the
other three learning rates are noted and not counted, nor is the choice of its precision, threads
and compilation. Our clock is that of the default `softprompt tune` from a cold start: choosing the
precision, encoding and caching contexts, choosing threads and plan, and training a whole
population, until the end of the first validation at which its leader, or its prompts together with
the readout of contexts, have that score; the first validation is before the first step, so that the
readout may have it alone. Both start before the model is loaded; nothing of either is on disk but
model and data.

Both sides have the same rows, batch size, epochs and validations. PEFT's learning rate is chosen
with the first seed; further seeds repeat its best run and ours on other rows, and the claim is the
median of their ratios, where a run that never has the score counts 0; ratios of processor times are
noted. LoRA and full fine-tuning of the first seed stand beside, LoRA at its best learning rate, the
search for it not counted, full fine-tuning with its search, as `softprompt compare` times it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from benchmarks.report import Claim, claim, missing, show
from benchmarks.runs import Runs, add_arguments
from benchmarks.timeline import Point, best_of, first_with

__all__ = ["main", "race"]

BOUND = 10.0


def main() -> None:
    """Measures what is missing and reports everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    add_arguments(parser)
    arguments = parser.parse_args()
    runs, about = Runs.of(arguments)
    names = arguments.tasks.split(",")
    races = {name: race(runs, name, arguments.seeds) for name in names}
    claims = [_claim(runs, name, races[name], arguments.seeds) for name in names]
    details = {
        **about,
        "tasks": races,
    }
    show(claims, details, as_json=arguments.json)
    if not arguments.json:
        print()
        print(table(races))


def race(runs: Runs, name: str, seeds: int) -> dict[str, Any] | None:
    """All sides' seconds on a task; None where a run of the first seed is missing.

    Args:
        runs: finished or to be made.
        name: of the task.
        seeds: how many times PEFT's best run and ours are compared.
    """
    found = []
    for seed in range(seeds):
        ours, theirs = runs.ours(name, seed, timed=True), runs.prompt_tuning(name, seed)
        if ours is None or theirs is None:
            continue
        best, score = best_of(theirs["timeline"]), theirs["validation"]
        reached = first_with(ours["timeline"], score)
        found.append(
            {
                "seed": seed,
                "score": score,
                "peft_rate": theirs["rate"],
                "peft_pace": theirs["pace"],
                "peft_best": best,
                "peft_run_seconds": theirs["seconds"],
                "our_first": reached,
                "our_best": best_of(ours["timeline"]),
                "our_run_seconds": ours["seconds"]["total"],
                "times": _times(best, reached, "seconds"),
                "times_by_processor": _times(best, reached, "processor_seconds"),
            }
        )
    rates = runs.prompt_tuning_rates(name)
    if not found or found[0]["seed"] != 0 or rates is None:
        return None
    score = found[0]["score"]
    beside = {"lora": runs.lora(name), "full": runs.full(name, 0)}
    return {
        "seeds": found,
        "peft_rates": {
            f"{rate:g}": {"validation": cell["validation"], "seconds": cell["seconds"]}
            for rate, cell in rates.items()
        },
        "peft_all_rates_seconds": round(sum(cell["seconds"] for cell in rates.values()), 3),
        **{
            f"{side}_first": first_with(cell.get("timeline", ()), score) if cell else None
            for side, cell in beside.items()
        },
        **{
            f"{side}_validation": cell["validation"] if cell else None
            for side, cell in beside.items()
        },
    }


def _times(theirs: Point | None, ours: Point | None, unit: str) -> float:
    """How many times faster ours is; 0 where it never had the score."""
    return theirs[unit] / ours[unit] if theirs and ours else 0.0


def _claim(runs: Runs, name: str, race: dict[str, Any] | None, seeds: int) -> Claim:
    label = f"time_to_accuracy_{name}"
    if race is None:
        return missing(label, BOUND, "at_least", "times", runs.why_missing(name))
    ratios = [one["times"] for one in race["seeds"]]
    never = sum(one["our_first"] is None for one in race["seeds"])
    reasons = [f"{never} of {len(ratios)} runs never had the score"] * bool(never)
    reasons += [f"{len(ratios)} of {seeds} seeds are measured"] * (len(ratios) < seeds)
    one = claim(label, ratios, BOUND, "at_least", "times", "; ".join(reasons))
    middle = median(ratios)
    return replace(one, value=round(middle, 3), holds=middle >= BOUND)


def table(races: dict[str, dict[str, Any] | None]) -> str:
    """Seconds of the first seed of every side, a dash where the score was never had."""
    widths = (9, 9, 13, 9, 9)
    titles = ("ours s", "PEFT s", "all rates s", "LoRA s", "full s")
    lines = [f"{'task':<9}{'score':>8}" + _columns(titles, widths)]
    for name, race in races.items():
        if race is None:
            continue
        first = race["seeds"][0]
        points = [first["our_first"], first["peft_best"], race["lora_first"], race["full_first"]]
        seconds = [point and point["seconds"] for point in points]
        seconds.insert(2, race["peft_all_rates_seconds"])
        shown = ["–" if number is None else f"{number:.0f}" for number in seconds]
        lines.append(f"{name:<9}{first['score']:>8.3f}" + _columns(shown, widths))
    return "\n".join(lines)


def _columns(texts: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(f"{text:>{width}}" for text, width in zip(texts, widths, strict=True))


if __name__ == "__main__":
    main()
