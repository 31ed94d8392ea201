"""Does the distance between a prompt and full fine-tuning shrink with the size of the model?

    python -m benchmarks.scale [--tokens N] [--data FOLDER] [--plot FILE] [--json]
    python -m benchmarks.scale --models HuggingFaceTB/SmolLM2-135M,HuggingFaceTB/SmolLM2-360M ...

Lester et al. 2021 (arXiv 2104.08691) found that it does. Models of about 1M, 4M and 12M parameters
are pretrained here by the recipe of `nano` with the same tokens (`--tokens`; stopped training goes
on), or the named ones of a published family are taken. A soft prompt and full fine-tuning, whose
rate is searched among four, learn each task. The slope is that of (full minus prompt) over the
logarithm (base 10) of the parameters by least squares, with a level of its own for each task; its
interval (95%) rests on the runs' scatter and knows nothing of another pretraining's.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.cells import Cells
from benchmarks.data import DEFAULT_DATA, METRIC
from benchmarks.report import Claim, claim, missing
from benchmarks.scale_models import SIZES, pretrained
from benchmarks.sides import SUFFIX, Cell, Side
from benchmarks.studies import Study, add_arguments, at_edge, finish, mean_spread
from benchmarks.study_plot import Panel, draw
from softprompt.errors import SoftPromptError

CORPORA = DEFAULT_DATA.parent / "corpora"
FULL = Side(
    "full-wide",
    "full fine-tuning",
    "full",
    how={"full_rates": (1e-4, 3e-4, 1e-3, 3e-3)},
    rates="full_rates",
)
Points = Mapping[int, Mapping[str, Mapping[int, float]]]
"""Test points of a task by parameters, side and seed."""


@dataclass(frozen=True)
class Slope:
    """Of points over the logarithm of the parameters.

    Args:
        value: points for ten times the parameters.
        low, high: its 95% interval; None of too few measurements.
        error: standard error, or None.
        n: measurements.
    """

    value: float
    low: float | None
    high: float | None
    error: float | None
    n: int


def main() -> None:
    """Measures what is missing and reports everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    add_arguments(parser, "vsfc,sst2")
    add = parser.add_argument
    add("--sizes", default=",".join(SIZES))
    add("--tokens", type=int, default=4_000_000, help="that each model is pretrained on")
    add("--text", action="append", metavar="LABEL=FILE", help="to pretrain on")
    add("--folder", type=Path, default=Path("runs/scale"), help="of models and checkpoints")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="setting of the recipe")
    add("--models", help="names of a published family, in place of sizes")
    add("--pretrain-only", action="store_true", help="stop when the models are there")
    arguments = parser.parse_args()
    models, absent = _models(arguments)
    if arguments.pretrain_only:
        return
    table: dict[str, dict[int, dict[str, dict[int, float]]]] = {}
    tuned: dict[str, Cell | None] = {}
    why = list(absent.values())
    for name in arguments.tasks.split(","):
        table[name] = {}
        for model in models:
            path = Path(model["path"]) if arguments.models else arguments.folder / model["path"]
            study = Study.known(arguments, str(path), model["weights"])
            # What was pretrained elsewhere is read, not measured.
            gone = not arguments.models and not path.is_dir()
            study = study.reading() if gone else study
            table[name][model["parameters"]] = _points(study, name, arguments.seeds)
            tuned[f"{name} at {_size(model['parameters'])}"] = study.side(name, FULL, 0)
            why.append(f"no model in {path}; see --folder" if gone else study.why_missing(name))
    found = slope(table)
    details = {
        "models": models,
        "absent": absent,
        "tokens": None if arguments.models else arguments.tokens,
        "rows": arguments.rows,
        "points": table,
        "slope": None if found is None else vars(found),
    }
    finish(
        arguments,
        [_claim(found, "; ".join(dict.fromkeys(why)))],
        details,
        finding=" ".join([finding(found, table), *at_edge(tuned)]),
        table=shown(table),
        draw=lambda path: _draw(table, path),
    )


def _models(arguments: argparse.Namespace) -> tuple[list[Cell], dict[str, str]]:
    """Path, fingerprint and parameters of every model, and why the others are not there.

    The path is a published model's name, or lies in the folder of pretrained ones.
    """
    family = arguments.models.split(",") if arguments.models else None
    stamp = "published" if family else f"{arguments.tokens}-tokens"
    known = Cells(arguments.cells / "scale", stamp, only_read=arguments.only_read)
    texts = arguments.text or [
        f"vi={CORPORA / 'vi-wikipedia.txt.xz'}",
        f"en={CORPORA / 'en-books.txt.xz'}",
    ]
    files = [Path(name) for text in texts for name in text.partition("=")[2].split(",")]

    def describe(name: str) -> Cell:
        path = name
        if not family:
            made = pretrained(name, texts, arguments.folder, arguments.tokens, arguments.set)
            name, path = str(made), made.relative_to(arguments.folder).as_posix()
        _, about = Study.of(arguments, name)
        return {"path": path, **{key: about[key] for key in ("weights", "parameters")}}

    found: list[Cell] = []
    absent: dict[str, str] = {}
    for name in family or arguments.sizes.split(","):
        try:
            lacking = [] if family else [str(file) for file in files if not file.is_file()]
            entry = known.read(name.replace("/", "--"))
            if entry is None and lacking:
                absent[name] = f"{', '.join(lacking)} not found; see --text"
                continue
            entry = entry or known.get(name.replace("/", "--"), partial(describe, name))
        except SoftPromptError as error:
            absent[name] = str(error).splitlines()[0]
            continue
        if entry is None:
            absent[name] = "not there; see --only-read"
        else:
            found.append(entry)
    return found, absent


def _points(study: Study, name: str, seeds: int) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for side in (SUFFIX, FULL):
        cells = {seed: study.side(name, side, seed) for seed in range(seeds)}
        found[side.name] = {
            seed: 100 * float(cell["test"][METRIC[name]])
            for seed, cell in cells.items()
            if cell is not None
        }
    return found


def distances(points: Points) -> dict[int, list[float]]:
    """Full minus prompt by parameters, for the seeds that have both."""
    return {
        parameters: [
            sides[FULL.name][seed] - soft
            for seed, soft in sides[SUFFIX.name].items()
            if seed in sides[FULL.name]
        ]
        for parameters, sides in points.items()
    }


def slope(table: Mapping[str, Points]) -> Slope | None:
    """The slope over all tasks; None where fewer than two sizes are measured on any task."""
    xs: list[float] = []
    ys: list[float] = []
    levels = 0
    for points in table.values():
        pairs = [(math.log10(x), y) for x, found in distances(points).items() for y in found]
        if len({x for x, _ in pairs}) < 2:
            continue
        levels += 1
        task = np.asarray(pairs)
        task = task - task.mean(0)
        xs += task[:, 0].tolist()
        ys += task[:, 1].tolist()
    if not levels:
        return None
    x, y = np.asarray(xs), np.asarray(ys)
    square = float((x * x).sum())
    value, free = float((x * y).sum()) / square, len(x) - levels - 1
    if free < 1:
        return Slope(value, None, None, None, len(x))
    error = math.sqrt(float(((y - value * x) ** 2).sum()) / free / square)
    reach = float(stats.t.ppf(0.975, free)) * error
    return Slope(value, value - reach, value + reach, error, len(x))


def _claim(found: Slope | None, why: str) -> Claim:
    unit = "points for ten times the parameters"
    if found is None:
        return missing("distance_slope", 0.0, "at_most", unit, why)
    reason = ""
    if found.low is not None and found.high is not None:
        reason = f"95% interval {found.low:.2f} to {found.high:.2f}; spread is the standard error"
    one = claim("distance_slope", [found.value], 0.0, "at_most", unit, reason)
    error = None if found.error is None else round(found.error, 3)
    return replace(one, n=found.n, spread=error)


def finding(found: Slope | None, table: Mapping[str, Points]) -> str:
    """What the table comes to, in sentences."""
    if found is None:
        return "Nothing was measured yet of two sizes."
    verb = "shrinks" if found.value < 0 else "does not shrink"
    sizes = [x for points in table.values() for x, found in distances(points).items() if found]
    text = (
        f"Between {_size(min(sizes))} and {_size(max(sizes))} parameters the distance from prompt "
        f"to full fine-tuning {verb} with size: {found.value:+.1f} points for ten times the"
        " parameters"
    )
    if found.low is None or found.high is None:
        return text + ", from too few runs for an interval."
    sure = "" if found.low > 0 or found.high < 0 else "; chance alone may make such a slope"
    return f"{text} (95% interval {found.low:+.1f} to {found.high:+.1f}){sure}."


def shown(table: Mapping[str, Points]) -> str:
    """Points of both sides and their distance at every size."""
    lines = [f"{'task':<8}{'parameters':>12}{'prompt':>14}{'full':>14}{'distance':>14}"]
    for name, points in table.items():
        for parameters, sides in sorted(points.items()):
            parts: list[Sequence[float]] = [list(sides[s.name].values()) for s in (SUFFIX, FULL)]
            parts.append(distances(points)[parameters])
            cells = "".join(f"{mean_spread(part):>14}" for part in parts)
            lines.append(f"{name:<8}{_size(parameters):>12}{cells}")
    return "\n".join(lines)


def _size(parameters: int) -> str:
    return f"{parameters / 1e6:.1f}M"


def _draw(table: Mapping[str, Points], path: Path) -> None:
    panels: list[Panel] = []
    titles: dict[str, Any] = {SUFFIX.name: SUFFIX.title, FULL.name: FULL.title}
    for name, points in table.items():
        lines = {
            title: {x: list(sides[key].values()) for x, sides in points.items()}
            for key, title in titles.items()
        }
        panels.append(Panel(name, "parameters", f"points of {METRIC[name]}", lines=lines, log=10))
    lines = {name: distances(points) for name, points in table.items()}
    panels.append(Panel("distance", "parameters", "full minus prompt, points", lines=lines, log=10))
    draw(panels, path)


if __name__ == "__main__":
    main()
