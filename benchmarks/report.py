"""What every benchmark prints: claims with their bounds, the machine, details; as table or JSON.

A benchmark reports and does not judge: it exits 0 whether or not its claims hold.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["Claim", "claim", "command", "machine", "missing", "show"]

_PLACES = ("--cells", "--data", "--folder", "--quality-cells", "--text")


@dataclass(frozen=True)
class Claim:
    """One figure and its bound.

    Args:
        name: of the claim.
        value: measured, or None where it was not.
        bound: what it is held against.
        direction: whether the value should be at least or at most the bound.
        unit: of value and bound.
        n: measurements behind the value.
        spread: their standard deviation, or None.
        holds: whether the bound is kept; None where nothing was measured, or not all it takes.
        reason: why nothing was measured, or what the figure rests on.
    """

    name: str
    value: float | None
    bound: float
    direction: Literal["at_least", "at_most"]
    unit: str
    n: int
    spread: float | None
    holds: bool | None
    reason: str = ""


def claim(
    name: str,
    values: Sequence[float],
    bound: float,
    direction: Literal["at_least", "at_most"],
    unit: str,
    reason: str = "",
) -> Claim:
    """A claim from measurements: their mean and, of several, their standard deviation."""
    value = statistics.fmean(values)
    holds = value >= bound if direction == "at_least" else value <= bound
    spread = round(statistics.stdev(values), 3) if len(values) > 1 else None
    return Claim(name, round(value, 3), bound, direction, unit, len(values), spread, holds, reason)


def missing(
    name: str, bound: float, direction: Literal["at_least", "at_most"], unit: str, reason: str
) -> Claim:
    """A claim that could not be measured."""
    return Claim(name, None, bound, direction, unit, 0, None, None, reason)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    import torch

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def command(words: Sequence[str]) -> str:
    """A command line as one would write it, without the folders that it reads and writes.

    Args:
        words: the script and its arguments.
    """
    kept: list[str] = []
    place = False
    for word in words[1:]:
        if place or word.partition("=")[0] in _PLACES:
            # The folder itself may be the next word.
            place = word in _PLACES
            continue
        kept.append(word)
    return shlex.join(["python", "-m", f"benchmarks.{Path(words[0]).stem}", *kept])


def show(claims: Sequence[Claim], details: Mapping[str, Any], *, as_json: bool) -> None:
    """Prints the report: one JSON object, or a table of at most 80 columns."""
    if as_json:
        report = {
            "claims": [asdict(one) for one in claims],
            "machine": machine(),
            "details": {**details, "command": command(sys.argv)},
        }
        print(json.dumps(report, ensure_ascii=False, indent=2, allow_nan=False))
        return
    print(f"{'claim':<28}{'value':>10}{'bound':>12}{'n':>4}{'spread':>9}  holds")
    for one in claims:
        sign = ">=" if one.direction == "at_least" else "<="
        value = "-" if one.value is None else f"{one.value:.2f}"
        spread = "-" if one.spread is None else f"{one.spread:.2f}"
        unsaid = "not measured" if one.value is None else one.reason
        holds = {True: "yes", False: "no", None: unsaid}[one.holds]
        bound = f"{sign} {one.bound:g}"
        print(f"{one.name:<28}{value:>10}{bound:>12}{one.n:>4}{spread:>9}  {holds}")
