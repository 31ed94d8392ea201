"""Which way of adapting a model for which task? Five public tasks, twelve ways, three seeds.

    python -m benchmarks.methods [--data FOLDER] [--plot FILE] [--json]

Hand prompts, examples in context, the forms of a soft prompt, LoRA and full fine-tuning, each as
`softprompt compare` measures it. The default prompt has a readout of contexts beside it; the other
forms after the text are measured without one. A prompt form counts as small where it takes no more
than 2% of the bytes of the fine-tuned model at equal precision: 2 bytes a number, and for a prompt
also its description. `kv` forms keep one prompt and no ensemble, which would take more.

The prompt that begins as the keys and values of demonstrations is held against asking the untouched
model with the same demonstrations (the first of them, which the prompt cuts to its length, whole).
Nothing of its rows is a constant that could be cached, so it begins as three prompts and goes on as
one, where the others begin as six and go on as four.
The effect of a parametrisation is measured on two tasks, that of hybrids on four: LoRA after the
context, a prompt over LoRA, and prompts over a model that has learned the task's own texts first.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.data import METRIC, guess
from benchmarks.report import Claim, claim, missing
from benchmarks.sides import (
    ALONE,
    FULL,
    HAND,
    K_SHOT,
    KV,
    LORA,
    PREFIX,
    SUFFIX,
    WITHOUT,
    Cell,
    Side,
)
from benchmarks.studies import Study, add_arguments, at_edge, finish, mean_spread
from benchmarks.study_plot import Panel, draw
from softprompt import load_backbone
from softprompt.inference.baselines import BASELINES, BaselineRequest
from softprompt.tasks import Task, demonstration, in_turn

TASKS = "vsfc,vsfc_topic,sst2,agnews,boolq"
LEAST_TASKS, NEAR, SMALL, OVER_K_SHOT = 3.0, 2.0, 0.02, 3.0
BYTES = 2
"""Of a number at the backbone's precision, bfloat16."""

PROMPTS = (
    SUFFIX,
    ALONE,
    PREFIX,
    Side("deep", "prompt (deep)", prompt={"depth": "deep"}, training=WITHOUT),
    KV,
    Side(
        "kv_context",
        "prompt (kv from examples)",
        prompt={"method": "ct-kv", "initialisation": "context", "length": 128},
        training={
            **WITHOUT,
            "ensemble": "off",
            "token_dropout": 0.05,
            "population": 3,
            "survivors": 1,
        },
    ),
    Side("residual", "prompt (residual)", prompt={"parametrisation": "residual"}, training=WITHOUT),
)
SIDES = (
    Side("zero_shot", "task's own words", "own_template", seeded=False),
    HAND,
    K_SHOT,
    *PROMPTS,
    LORA,
    FULL,
)
HYBRIDS = (
    Side("lora_suffix", "LoRA after the context", "lora_suffix", rates="lora_rates"),
    Side("lora_prompt", "LoRA + prompt", "lora_prompt", rates="lora_rates", searched="lora"),
    Side(
        "lora_domain_prompt",
        "domain LoRA + prompt",
        "lora_domain_prompt",
        rates="lora_rates",
        searched="lora",
    ),
    Side(
        "full_prompt",
        "domain model + prompt",
        "full_prompt",
        rates="full_rates",
        searched="model",
    ),
)
CONTEXT = "kv_context"
PARAMETRISATIONS = (
    "direct", "residual", "encoder", "encoder_lstm", "superposition", "low_rank",
)  # fmt: skip
Table = Mapping[str, Mapping[str, list[Cell | None]]]
"""Cells by task and side, one for each seed."""


def main() -> None:
    """Measures what is missing and reports everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    add_arguments(parser, TASKS)
    parser.add_argument("--sides", default=",".join(side.name for side in SIDES))
    parser.add_argument("--parametrisation-tasks", default="vsfc,sst2", help="may be empty")
    parser.add_argument(
        "--hybrid-tasks", default="vsfc,vsfc_topic,sst2,agnews", help="may be empty"
    )
    arguments = parser.parse_args()
    study, about = Study.of(arguments)
    names, chosen = arguments.tasks.split(","), arguments.sides.split(",")
    table = {
        name: {s.name: study.every(name, s, arguments.seeds) for s in SIDES if s.name in chosen}
        for name in names
    }
    same = {
        name: [_same_examples(study, name, seed, cell) for seed, cell in enumerate(cells)]
        for name in names
        if (cells := table[name].get(CONTEXT))
    }
    forms = _parametrisations(study, arguments)
    for name in filter(None, arguments.hybrid_tasks.split(",")):
        both = {s.name: study.every(name, s, arguments.seeds) for s in HYBRIDS}
        table[name] = {**table.get(name, {}), **both}
    why = "; ".join(dict.fromkeys(study.why_missing(name) for name in names))
    near = {name: nearness(name, table[name], about["parameters"]) for name in names}
    claims = [_near_claim(near, why), _context_claim(table, same, why)]
    points = {
        name: {side: _points(name, cells) for side, cells in sides.items()}
        for name, sides in table.items()
    }
    details = {
        **about,
        "metric": {name: METRIC[name] for name in names},
        "points": points,
        "near_full": near,
        "k_shot_same_examples": {name: _points(name, cells) for name, cells in same.items()},
        "parametrisations": forms,
        "cells": table,
    }
    finish(
        arguments,
        claims,
        details,
        finding=finding(near, forms, _at_edge(table), points),
        table=f"{markdown(points)}\n\n{forms_shown(forms)}",
        draw=lambda path: _draw(points, path),
    )


def _same_examples(study: Study, name: str, seed: int, cell: Cell | None) -> Cell | None:
    """The untouched model asked with the demonstrations that the kept prompt began as."""
    if cell is None:
        return None
    kept = winner(cell)

    def measure(task: Task) -> Cell:
        backbone = load_backbone(study.model)
        shots = shown(task, backbone, int(kept["seed"]), int(kept["length"]))
        request = BaselineRequest(
            backbone, task, METRIC[name], shots=shots, seed=int(kept["seed"]), drop_long=True
        )
        return {"test": BASELINES.get("few_shot")(request), "shots": shots}

    return study.cell(f"{name}-k_shot_same-{seed}", name, seed, measure)


def shown(task: Task, backbone: Any, seed: int, length: int) -> int:
    """Demonstrations that a prompt of some places is made of, the one that is cut among them."""
    order = in_turn(task, task.train, seed)
    places = count = 0
    while places < length and count < len(order):
        places += len(backbone.encode(demonstration(task, task.train[order[count]])))
        count += 1
    return count


def _parametrisations(study: Study, arguments: argparse.Namespace) -> dict[str, Any]:
    """By task and parametrisation: points, seconds of training, those of the processor, seconds to
    the best prompt, and steps."""
    found: dict[str, Any] = {}
    for name in filter(None, arguments.parametrisation_tasks.split(",")):
        found[name] = {}
        for form in PARAMETRISATIONS:
            side = Side(form, form, prompt={"parametrisation": form}, training=WITHOUT)
            cells = study.every(name, side, arguments.seeds)
            whole = [cell for cell in cells if cell is not None]
            found[name][form] = {
                "points": _points(name, cells),
                "seconds": [cell["seconds"]["training"] for cell in whole],
                "processor_seconds": [cell["energy"]["cpu_seconds"] for cell in whole],
                "to_best": [cell["seconds"].get("to_best") for cell in whole],
                "best_steps": [winner(cell)["best_step"] for cell in whole],
            }
    return found


def winner(cell: Cell) -> dict[str, Any]:
    """The best candidate of those that trained to the end."""
    whole = [one for one in cell["details"]["population"] if one["left"] is None]
    return dict(max(whole, key=lambda one: one["score"]))


def _points(name: str, cells: list[Cell | None]) -> list[float]:
    return [100 * float(cell["test"][METRIC[name]]) for cell in cells if cell is not None]


def nearness(
    name: str, sides: Mapping[str, list[Cell | None]], parameters: int
) -> dict[str, Any] | None:
    """How near the prompt forms come to full fine-tuning on a task.

    Args:
        name: of the task.
        sides: its cells.
        parameters: of the model.

    Returns:
        by form `below` (mean points below full over the `seeds` that both have), `share` (of its
        bytes), `validation` (mean score over the seeds that all forms have) and `readout` (1 where
        some seed keeps one); `learned`, whether full fine-tuning is better than the majority
        guess; `best`, which validation rows choose among those that are small, `closest`, the
        nearest of all on the test rows, and `without_readout`, how far below the one is that
        validation rows choose among the small ones that have none (None without any). None where
        full fine-tuning or all prompts are missing.
    """
    full = sides.get("full", [])
    counts = [sum(cell is not None for cell in sides.get(side.name, [])) for side in PROMPTS]
    seeds = min((count for count in counts if count), default=0)
    forms: dict[str, dict[str, float]] = {}
    for side in PROMPTS:
        both = [
            (cell, other)
            for cell, other in zip(sides.get(side.name, []), full, strict=False)
            if cell is not None and other is not None
        ]
        if not both:
            continue
        whole = [cell for cell, _ in both]
        taken = [BYTES * cell["stored_numbers"] + cell["described_bytes"] for cell in whole]
        forms[side.name] = {
            "validation": fmean(cell["validation_score"] for cell in whole[:seeds]),
            "below": fmean(_points(name, [other for _, other in both]))
            - fmean(_points(name, list(whole))),
            "seeds": len(both),
            "share": max(taken) / (BYTES * parameters),
            "readout": float(any(map(_has_readout, whole))),
        }
    if not forms:
        return None
    small = [form for form in forms if forms[form]["share"] <= SMALL]
    bare = [form for form in small if not forms[form]["readout"]]
    best, alone = (
        max(some, key=lambda form: forms[form]["validation"], default=None)
        for some in (small, bare)
    )
    learned = [cell for cell in full if cell is not None]
    return {
        "forms": forms,
        "learned": fmean(_points(name, learned)) > 100 * guess(METRIC[name], learned[0]["test"]),
        "best": best,
        "without_readout": None if alone is None else forms[alone]["below"],
        "closest": min(forms, key=lambda form: forms[form]["below"]),
    }


def _has_readout(cell: Cell) -> bool:
    return bool((cell.get("details", {}).get("readout") or {}).get("kept"))


def _near_claim(near: Mapping[str, dict[str, Any] | None], why: str) -> Claim:
    label = "tasks_within_2_points_of_full"
    measured = [found for found in near.values() if found is not None and found["learned"]]
    if not measured:
        return missing(label, LEAST_TASKS, "at_least", "tasks", why)
    within = sum(
        found["best"] is not None and found["forms"][found["best"]]["below"] <= NEAR
        for found in measured
    )
    fewest = min(min(form["seeds"] for form in found["forms"].values()) for found in measured)
    reason = f"of {len(measured)} tasks, with {fewest:.0f} seeds or more"
    guessed = [name for name, found in near.items() if found is not None and not found["learned"]]
    if guessed:
        reason += f"; not counted, since full fine-tuning only guesses: {', '.join(guessed)}"
    bare = [x["without_readout"] for x in measured if x["without_readout"] is not None]
    reason += f"; without a readout {sum(below <= NEAR for below in bare)} of {len(bare)}"
    one = claim(label, [float(within)], LEAST_TASKS, "at_least", "tasks", reason)
    return replace(one, n=len(measured))


def _context_claim(table: Table, same: Mapping[str, list[Cell | None]], why: str) -> Claim:
    over = [
        _points(name, [ours])[0] - _points(name, [asked])[0]
        for name, cells in same.items()
        for ours, asked in zip(table[name][CONTEXT], cells, strict=True)
        if ours is not None and asked is not None
    ]
    label = "context_init_over_k_shot"
    if not over:
        return missing(label, OVER_K_SHOT, "at_least", "points", why)
    return claim(label, over, OVER_K_SHOT, "at_least", "points", "over tasks and seeds")


def _at_edge(table: Table) -> list[str]:
    first = {
        f"{side} on {name}": cells[0]
        for name, sides in table.items()
        for side, cells in sides.items()
        if cells
    }
    return at_edge(first)


def finding(
    near: Mapping[str, dict[str, Any] | None],
    forms: Mapping[str, Any],
    edges: Sequence[str] = (),
    points: Mapping[str, Mapping[str, list[float]]] | None = None,
) -> str:
    """What the table comes to, in sentences."""
    said = []
    for name, found in near.items():
        if found is None or not found["learned"]:
            said += [] if found is None else [f"{name}: full fine-tuning only guesses."]
            continue
        best = found["best"] or found["closest"]
        below = found["forms"][best]["below"]
        comes = "comes" if below <= NEAR else "does not come"
        text = f"{name}: {best} {comes} within 2 points of full fine-tuning ({below:+.1f} below)"
        if found["closest"] != best:
            closest = found["forms"][found["closest"]]
            text += (
                f"; {found['closest']} comes closer ({closest['below']:+.1f}) but takes "
                f"{100 * closest['share']:.1f}% of its bytes"
            )
        far = found["forms"][found["closest"]]["below"] > NEAR
        said.append(text + "." + (_limit(name, points or {}) if far else ""))
    said += edges
    for name, by_form in forms.items():
        spreads = {f: stdev(x["points"]) for f, x in by_form.items() if len(x["points"]) > 1}
        if spreads:
            steadiest = min(spreads, key=lambda form: spreads[form])
            steps = {f: fmean(x["best_steps"]) for f, x in by_form.items() if x["best_steps"]}
            fastest = min(steps, key=lambda form: steps[form])
            said.append(
                f"{name}: {steadiest} spreads least over seeds ({spreads[steadiest]:.1f} points); "
                f"{fastest} is at its best first (step {steps[fastest]:.0f} on average"
                + (f", direct {steps['direct']:.0f})." if "direct" in steps else ").")
            )
    return " ".join(said) or "Nothing was measured yet."


def _limit(name: str, points: Mapping[str, Mapping[str, list[float]]]) -> str:
    """What LoRA and the prompts alone come to where a prompt is not near full fine-tuning."""
    sides = {side: fmean(x) for side, x in points.get(name, {}).items() if x}
    if not {"full", "lora"} <= set(sides):
        return ""
    lora = sides["full"] - sides["lora"]
    limit = (
        "what changes the layers gets there, what adds vectors to them does not"
        if lora <= NEAR
        else "low-rank changes of the layers alone do not get there either"
    )
    return f" LoRA is {lora:+.1f} below: {limit}."


def forms_shown(forms: Mapping[str, Any]) -> str:
    """Points, spread, processor time and steps to the best prompt of each parametrisation."""
    lines = [f"{'task':<8}{'parametrisation':<17}{'points':>14}{'CPU s':>10}{'steps to best':>15}"]
    for name, by_form in forms.items():
        for form, found in by_form.items():
            seconds, steps = (
                f"{fmean(found[key]):.0f}" if found[key] else "–"
                for key in ("processor_seconds", "best_steps")
            )
            own = mean_spread(found["points"])
            lines.append(f"{name:<8}{form:<17}{own:>14}{seconds:>10}{steps:>15}")
    return "\n".join(lines) if len(lines) > 1 else ""


def markdown(points: Mapping[str, Mapping[str, list[float]]]) -> str:
    """Mean and standard deviation over seeds, in points, as a Markdown table."""
    lines = ["| | " + " | ".join(points) + " |", "|---|" + "---|" * len(points)]
    for side in (*SIDES, *HYBRIDS):
        if not any(by_side.get(side.name) for by_side in points.values()):
            continue
        row = [mean_spread(by_side.get(side.name, [])) for by_side in points.values()]
        lines.append(f"| {side.title} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def _draw(points: Mapping[str, Mapping[str, list[float]]], path: Path) -> None:
    titles = {side.name: side.title for side in (*SIDES, *HYBRIDS)}
    panels = [
        Panel(name, "", f"points of {METRIC[name]}", bars={titles[s]: v for s, v in sides.items()})
        for name, sides in points.items()
    ]
    draw(panels, path)


if __name__ == "__main__":
    main()
