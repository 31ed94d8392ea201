"""How much memory does training take? This project beside PEFT, LoRA and full fine-tuning.

    python -m benchmarks.memory [--dtypes fp32,bf16] [--sides suffix,full] [--repeats 3] [--json]

Every measurement is a fresh process. It imports everything and takes one step with a tiny model,
since much is imported on first use; from there it counts the peak of resident memory while it
builds the model, fills the cache where there is one, and trains (on CUDA: the peak of allocated
memory). Weights count on every side. A batch has 16 rows of 400 input tokens and 2 answer tokens, a
prompt 16 vectors.

    suffix             our loop, contexts of one batch in memory
    suffix-held        our loop, contexts of 64 rows in memory
    suffix-disk        our loop, contexts of 64 rows in mapped files
    prefix             our loop, prompt before the input
    peft               PEFT prompt tuning
    lora               PEFT LoRA of rank 16
    full               all weights by AdamW: weights in fp32, in bf16 only products, by autocast
    full-checkpointed  the same with gradient checkpointing
    full-half          weights, gradients and moments in bf16

Pages of mapped files, which the system takes back when it needs them, are counted in the peak and
shown apart (some 20 MB of libraries and tokenizer files on every side). The claim is the least
favourable ratio: the largest of the three suffixes over the smallest full fine-tuning without
checkpointing, in the precision where that is larger. A cache in memory grows with the rows that it
holds: `bytes_per_row` says how much each adds, `rows_at_bound` how many the bound leaves room for.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median, stdev
from typing import Any

import torch

from benchmarks.batch import ANSWER, VECTORS
from benchmarks.cells import Cells
from benchmarks.memory_sides import OURS, SIDES, TINY, measure
from benchmarks.report import Claim, claim, missing, show
from benchmarks.shapes import SHAPES

ROWS, TOKENS, HELD = 16, 400, 64
OPPONENTS = ("full", "full-half")
BOUND = 0.25


def measure_apart(side: str, dtype: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The same in a process of its own.

    Raises:
        RuntimeError: that process did not end well, perhaps for lack of memory.
    """
    command = [sys.executable, "-m", "benchmarks.memory", "--side", side, "--dtypes", dtype]
    for name in ("shape", "rows", "tokens", "held", "steps"):
        command += [f"--{name}", str(getattr(arguments, name))]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing printed"])[-1]
        raise RuntimeError(f"exit code {done.returncode}, {last}")
    found = dict(json.loads(done.stdout.splitlines()[-1]))
    print(f"... {found[_counted()] / 1e6:.0f} MB", file=sys.stderr, flush=True)
    return found


def measure_all(
    keys: Sequence[tuple[str, str]], cells: Cells, arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """All measurements of pairs of side and precision, in turn; `error` where one failed."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {key: [] for key in keys}
    for turn in range(arguments.repeats):
        for key in keys:
            try:
                measure = partial(measure_apart, *key, arguments)
                one = cells.get(f"{'-'.join(key)}-{turn}", measure)
            except RuntimeError as error:
                one = {"error": str(error)}
            found[key].append(one or {"error": "not measured yet"})
    return [_case(*key, values) for key, values in found.items()]


def main() -> None:
    """Measures all sides in turn, each in its own process, and reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--shape", default="135M", choices=[*SHAPES, "tiny"])
    parser.add_argument("--dtypes", default="fp32,bf16")
    parser.add_argument("--sides", default=",".join(SIDES))
    parser.add_argument("--rows", type=int, default=ROWS, help="of a batch")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="of each input")
    parser.add_argument("--held", type=int, default=HELD, help="rows of the larger caches")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cells", type=Path, help="folder to keep finished measurements in")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = {name: getattr(arguments, name) for name in ("rows", "tokens", "held", "steps")}
    if arguments.side:
        _end_first()
        shape = TINY if arguments.shape == "tiny" else SHAPES[arguments.shape]
        print(json.dumps(measure(arguments.side, shape, arguments.dtypes, **sizes)))
        return
    keys = [
        (side, dtype)
        for dtype in arguments.dtypes.split(",")
        for side in arguments.sides.split(",")
        if side != "full-half" or dtype == "bf16"
    ]
    with tempfile.TemporaryDirectory() as passing:
        stamp = "-".join([arguments.shape, *map(str, sizes.values())])
        cells = Cells(arguments.cells or Path(passing), stamp)
        cases = measure_all(keys, cells, arguments)
    details = {
        "cases": cases,
        "growth": cache_growth(cases, arguments.rows),
        "counted": _counted(),
        "shape": arguments.shape,
        **sizes,
        "vectors": VECTORS,
        "answer_tokens": ANSWER,
    }
    show([memory_claim(cases)], details, as_json=arguments.json)
    if not arguments.json:
        print()
        print(table(cases))


def _end_first() -> None:
    """Where memory runs out, this process is the one that the system ends, and no other."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    except OSError:
        return


def _counted() -> str:
    return "device" if torch.cuda.is_available() else "resident"


def _case(side: str, dtype: str, found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All measurements of a side, with the median and the spread of what counts."""
    peaks = [one[_counted()] for one in found if "error" not in one]
    return {
        "side": side,
        "dtype": dtype,
        "peak": median(peaks) if peaks else None,
        "spread": round(stdev(peaks)) if len(peaks) > 1 else None,
        "measurements": list(found),
    }


def cache_growth(cases: Sequence[dict[str, Any]], rows: int) -> dict[str, Any]:
    """By precision: bytes of a row in the cache, and how many rows keep the claim's bound.

    Args:
        cases: of all sides.
        rows: in the cache of the side `suffix`.
    """
    found: dict[str, Any] = {}
    for dtype in dict.fromkeys(case["dtype"] for case in cases):
        mine = {case["side"]: case for case in cases if case["dtype"] == dtype and case["peak"]}
        smallest = min((mine[s]["peak"] for s in OPPONENTS if s in mine), default=None)
        if "suffix" in mine and smallest is not None:
            whole = next(one for one in mine["suffix"]["measurements"] if "error" not in one)
            row = whole["cache_bytes"] / rows
            room = BOUND * smallest - mine["suffix"]["peak"]
            found[dtype] = {"bytes_per_row": row, "rows_at_bound": rows + int(room // row)}
    return found


def memory_claim(cases: Sequence[dict[str, Any]]) -> Claim:
    """`memory_vs_full` (see the module)."""
    peaks = {
        (case["side"], case["dtype"]): [
            one[_counted()] for one in case["measurements"] if "error" not in one
        ]
        for case in cases
    }
    ratios: dict[str, list[float]] = {}
    for dtype in dict.fromkeys(case["dtype"] for case in cases):
        mine, other = (
            [peaks[side, dtype] for side in sides if peaks.get((side, dtype))]
            for sides in (OURS, OPPONENTS)
        )
        if mine and other:
            largest, smallest = max(mine, key=median), min(other, key=median)
            ratios[dtype] = [a / b for a, b in zip(largest, smallest, strict=False)]
    errors = dict.fromkeys(
        f"{case['side']} in {case['dtype']}: {one['error']}"
        for case in cases
        for one in case["measurements"]
        if "error" in one
    )
    if not ratios:
        reason = "; ".join(errors) or "suffix or full fine-tuning was left out"
        return missing("memory_vs_full", BOUND, "at_most", "share", reason)
    worst = max(ratios, key=lambda dtype: median(ratios[dtype]))
    reason = "; ".join([f"the worse of {', '.join(ratios)}: {worst}", *errors])
    return claim("memory_vs_full", ratios[worst], BOUND, "at_most", "share", reason)


def table(cases: Sequence[dict[str, Any]]) -> str:
    """Peaks in MB (10^6 bytes), mapped pages among them, and the share of full fine-tuning."""
    full = {case["dtype"]: case["peak"] for case in cases if case["side"] == "full"}
    lines = [f"{'side':<19}{'dtype':<7}{'peak MB':>9}{'mapped':>9}{'of full':>9}"]
    for case in cases:
        peak, whole = case["peak"], full.get(case["dtype"])
        mapped = [one.get("mapped") for one in case["measurements"]]
        known = [number for number in mapped if number is not None]
        cells = [
            f"{peak / 1e6:.0f}" if peak else "-",
            f"{median(known) / 1e6:.0f}" if known else "-",
            f"{peak / whole:.2f}" if peak and whole else "-",
        ]
        row = "".join(f"{cell:>9}" for cell in cells)
        lines.append(f"{case['side']:<19}{case['dtype']:<7}{row}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
