"""How good is a soft prompt? Three public tasks, beside hand prompts and full fine-tuning.

    python -m benchmarks.quality [--data FOLDER] [--json]

Each cell (task, method, seed) is one run of the default configuration; finished cells are kept and
a started benchmark goes on. All methods read the same rows with the same template and are scored
the same way on the whole test file.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.cells import RESULTS, Cells
from benchmarks.data import DEFAULT_DATA, METRIC, TASKS, load_task
from benchmarks.report import Claim, claim, missing, show
from benchmarks.sides import FULL
from benchmarks.studies import Study
from softprompt import load_backbone, tune
from softprompt.inference.baselines import BASELINES, BaselineRequest

OVER_BASELINE = {"vsfc": 15.0, "sst2": 8.0, "agnews": 25.0}
BELOW_FULL = 5.0
METHODS = ("majority", "zero_shot", "suffix", "prefix", "full")
SEEDED = ("suffix", "prefix", "full")


def main() -> None:
    """Measures what is missing and reports everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of the data sets")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--rows", type=int, default=2000, help="training rows")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--cells", type=Path, default=RESULTS / "cells" / "quality")
    parser.add_argument("--only-read", action="store_true", help="measure nothing")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    identity = load_backbone(arguments.model).identity
    stamp = f"{Path(arguments.model).name}-{identity.weights[:12]}-{arguments.rows}"
    cells = Cells(arguments.cells, stamp, only_read=arguments.only_read)
    table: dict[str, dict[str, list[float]]] = {}
    kept: dict[str, Any] = {}
    for name in arguments.tasks.split(","):
        table[name] = {}
        for method in arguments.methods.split(","):
            seeds = range(arguments.seeds if method in SEEDED else 1)
            found = [_cell(cells, arguments, name, method, seed) for seed in seeds]
            whole = [cell for cell in found if cell is not None]
            table[name][method] = [100 * cell["test"][METRIC[name]] for cell in whole]
            kept[f"{name}-{method}"] = whole
            if method == "suffix":
                table[name]["alone"] = [100 * _prompts(cell)[METRIC[name]] for cell in whole]
    details = {
        "model": identity.name,
        "revision": identity.revision,
        "weights": identity.weights,
        "metric": METRIC,
        "points": table,
        "cells": kept,
    }
    show(_claims(table), details, as_json=arguments.json)
    if not arguments.json:
        print()
        print(markdown(table))


def _cell(
    cells: Cells, arguments: argparse.Namespace, name: str, method: str, seed: int
) -> dict[str, Any] | None:
    """One measurement: the test metrics and what goes with them."""

    def measure() -> dict[str, Any]:
        task = load_task(name, arguments.data, seed, arguments.rows)
        metric = METRIC[name]
        if method in BASELINES:
            backbone = load_backbone(arguments.model)
            return {"test": BASELINES.get(method)(BaselineRequest(backbone, task, metric))}
        folder = Path(tempfile.mkdtemp())
        try:
            result = tune(
                task,
                load_backbone(arguments.model),
                folder / "run",
                placement=method,
                metric=metric,
                seed=seed,
                baselines=(),
            )
        finally:
            shutil.rmtree(folder)
        return {key: value for key, value in result.items() if key != "prompt"}

    if method == "full":
        study = Study.beside(cells, arguments.model, arguments.data, arguments.rows, None)
        return study.side(name, FULL, seed)
    # A default run that `benchmarks.runs` has timed is the same run.
    timed = cells.read(f"{name}-tune-{seed}") if method == "suffix" else None
    if timed is not None:
        return timed
    try:
        return cells.get(f"{name}-{method}-{seed}", measure)
    except FileNotFoundError:
        return None


def _prompts(cell: dict[str, Any]) -> Any:
    """The test metrics of a default run's prompts without the readout."""
    readout = cell.get("readout")
    return readout["test_without"] if readout and readout["kept"] else cell["test"]


def _claims(table: dict[str, dict[str, list[float]]]) -> list[Claim]:
    claims = []
    for name, methods in table.items():
        soft, full = methods.get("suffix", []), methods.get("full", [])
        base = [point for m in ("majority", "zero_shot") for point in methods.get(m, [])]
        label, bound = f"{name}_over_baseline", OVER_BASELINE[name]
        reason = "not all of its cells are measured; see --data and --only-read"
        if soft and len(base) == 2:
            over = [point - max(base) for point in soft]
            claims.append(claim(label, over, bound, "at_least", f"points of {METRIC[name]}"))
        else:
            claims.append(missing(label, bound, "at_least", "points", reason))
        label = f"{name}_below_full"
        if soft and full:
            # Seeds are measured from the first on; what one side lacks are the last.
            below = [b - a for a, b in zip(soft, full, strict=False)]
            told = f"{len(below)} seeds have both" if len(full) != len(soft) else ""
            unit = f"points of {METRIC[name]}"
            claims.append(claim(label, below, BELOW_FULL, "at_most", unit, told))
        else:
            claims.append(missing(label, BELOW_FULL, "at_most", "points", reason))
    return claims


def markdown(table: dict[str, dict[str, list[float]]]) -> str:
    """The results as a Markdown table: mean and standard deviation over seeds, in points.

    A method of which nothing is measured has no row.
    """
    from statistics import fmean, stdev

    names = {
        "majority": "majority guess",
        "zero_shot": "best hand prompt",
        "alone": "soft prompt, no readout",
        "suffix": "**soft prompt (default)**",
        "prefix": "soft prompt (prefix)",
        "full": "full fine-tuning",
    }
    titles = {"vsfc": "UIT-VSFC (vi)", "sst2": "SST-2 (en)", "agnews": "AG News (en)"}
    lines = ["| | " + " | ".join(titles[name] for name in table) + " |"]
    lines.append("|---|" + "---|" * len(table))
    for method, title in names.items():
        if not any(methods.get(method) for methods in table.values()):
            continue
        row = []
        for points in (methods.get(method, []) for methods in table.values()):
            spread = f" ± {stdev(points):.1f}" if len(points) > 1 else ""
            row.append(f"{fmean(points):.1f}{spread}" if points else "–")
        lines.append(f"| {title} | " + " | ".join(row) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
