"""How long is a training step? This project beside PEFT prompt tuning, in turns, in one process.

    python -m benchmarks.train_step [--shapes 8M,135M] [--json]

Both sides train prompts of 16 vectors on the same token ids: 8 rows of 96 input tokens, or 4 rows
of 400, and an answer of 2 tokens; PEFT by AdamW, ours by the default optimiser. PEFT runs its own
forward pass in a plain loop, without padding, so that its positions are right. Ours is the loop
that `softprompt tune` runs, with loading the cached context included; filling the cache, done once,
is reported beside it. For K prompts PEFT takes K steps. Each side counts in the precision that is
faster for it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.batch import ANSWER, VECTORS, token_ids
from benchmarks.plain_loop import prompt_tuning_step
from benchmarks.report import Claim, claim, missing, show
from benchmarks.shapes import SHAPES, build, build_model
from softprompt.backbones import Backbone, free_memory_budget
from softprompt.inference import Contexts, Encoded
from softprompt.inference.context_store import ContextStore
from softprompt.prompts import Example, PromptConfig
from softprompt.prompts.parametrisations import PARAMETRISATIONS
from softprompt.tasks import Row
from softprompt.training import Reporter, TrainingConfig
from softprompt.training.candidates import Candidate
from softprompt.training.loop import Course, Loop, TrainingRows
from softprompt.training.member import Member
from softprompt.training.memory import PASS_SHARE, fit_loop

CASES = {96: 8, 400: 4}
"""Input tokens and rows of a batch."""
BOUNDS = {
    ("suffix", 1, 96): ("suffix_step_96", 10.0),
    ("suffix", 1, 400): ("suffix_step_400", 25.0),
    ("suffix", 8, 96): ("population_step_96", 15.0),
    ("suffix", 8, 400): ("population_step_400", 40.0),
    ("prefix", 1, 96): ("prefix_step_96", 2.0),
    ("prefix", 1, 400): ("prefix_step_400", 2.0),
}
PEAK = {"fp32": 0.75, "bf16": 0.5}
HEADLINE = "135M"


def ours(
    backbone: Backbone, placement: str, count: int, rows: int, tokens: int
) -> tuple[Callable[[], object], float]:
    """One step of the training loop, and the seconds that filling the cache took."""
    loop, prefill = training_loop(backbone, placement, count, rows, tokens)
    return loop.train_step, prefill


def training_loop(
    backbone: Backbone,
    placement: str,
    count: int,
    rows: int,
    tokens: int,
    *,
    held: int | None = None,
    store: ContextStore | None = None,
) -> tuple[Loop, float]:
    """The loop that `softprompt tune` runs, and the seconds that filling the cache took.

    Args:
        backbone: frozen.
        placement: `suffix` or `prefix`.
        count: prompts in training.
        rows: of a batch.
        tokens: of each input.
        held: training rows, all of them in the cache; one batch where absent.
        store: keeps the contexts on disk; in memory where absent.
    """
    held = held or rows
    examples = []
    for ids in token_ids(held, tokens, backbone.vocabulary).tolist():
        vectors = tuple(range(-1, -1 - VECTORS, -1))
        text, answer = tuple(ids[:tokens]), (tuple(ids[tokens:]),)
        whole = (text, vectors) if placement == "suffix" else (text[:1], vectors + text[1:])
        examples.append(Example(*whole, answer))
    contexts = Contexts(backbone, examples, 1 << 40, store=store)
    start = time.perf_counter()
    contexts.fill(store_all=store is not None)
    prefill = time.perf_counter() - start
    config = TrainingConfig(batch_size=rows, population=count)
    scale = float(backbone.embedding_table.float().square().mean().sqrt())
    members = [
        Member(
            Candidate(number, 0.3, "random", "direct", VECTORS, number),
            PARAMETRISATIONS.get(PromptConfig().parametrisation)(
                torch.randn(VECTORS, backbone.hidden_size) * scale,
                lambda count: torch.randn(count, backbone.hidden_size) * scale,
            ),
            config,
            scale,
        )
        for number in range(count)
    ]
    row = Row("benchmark", 1, {}, None)
    loop = Loop(
        backbone=backbone,
        members=members,
        rows=TrainingRows(Encoded(tuple(examples), (row,) * held), [0] * held, contexts),
        validate=lambda prompts: [],
        config=config,
        objective="answer",
        folder=Path(tempfile.gettempdir()),
        reporter=Reporter(),
    )
    # As `tune` does: a batch that memory does not hold goes through in several passes.
    _, part = fit_loop(loop, free_memory_budget(PASS_SHARE, backbone.device))
    loop.course = Course(1 << 30, (), part)
    return loop, prefill


def take_turns(steps: Sequence[Callable[[], object]], repeats: int) -> list[list[float]]:
    """Seconds of every step of every side, the sides in turn, after two rounds of warm-up."""
    taken: list[list[float]] = [[] for _ in steps]
    for turn in range(repeats + 2):
        for side, step in enumerate(steps):
            start = time.perf_counter()
            step()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn >= 2:
                taken[side].append(time.perf_counter() - start)
    return taken


def product_peak(dtype: str) -> float:
    """Operations per second that large matrix products reach here, the best of several."""
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    best = 0.0
    for size in (1024, 2048, 4096):
        a, b = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
        for seconds in take_turns([lambda a=a, b=b: a @ b], 5)[0]:  # type: ignore[misc]
            best = max(best, 2 * size**3 / seconds)
    return best


def measure_case(
    shape: str, dtype: str, tokens: int, repeats: int, compiled: bool
) -> dict[str, Any]:
    """Seconds per step of every side for one shape, precision and input length."""
    rows = CASES[tokens]
    sides: dict[str, Callable[[], object]] = {}
    prefill: dict[str, float] = {}
    for placement in ("suffix", "prefix"):
        backbone = build(SHAPES[shape], dtype)
        for count in (1, 8):
            name = f"{placement}-{count}"
            sides[name], prefill[name] = ours(backbone, placement, count, rows, tokens)
    for name in ("peft", "peft-compiled") if compiled else ("peft",):
        sides[name] = prompt_tuning_step(
            build_model(SHAPES[shape], dtype), rows, tokens, compiled=name != "peft"
        )
    seconds = dict(zip(sides, take_turns(list(sides.values()), repeats), strict=True))
    operations = SHAPES[shape].suffix_operations(VECTORS, ANSWER, tokens) * rows
    return {
        "shape": shape,
        "dtype": dtype,
        "tokens": tokens,
        "rows": rows,
        "seconds": {name: round(median(values), 5) for name, values in seconds.items()},
        "all_seconds": {n: [round(x, 5) for x in values] for n, values in seconds.items()},
        "prefill_seconds": round(prefill["suffix-1"], 4),
        "operations_per_prompt": operations,
        "operations_per_second": operations * 8 / median(seconds["suffix-8"]),
    }


def main() -> None:
    """Measures all cases and reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--dtypes", default="fp32,bf16")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--no-compile", action="store_true", help="leave compiled PEFT out")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    dtypes = arguments.dtypes.split(",")
    cases = [
        measure_case(shape, dtype, tokens, arguments.repeats, not arguments.no_compile)
        for shape in arguments.shapes.split(",")
        for tokens in CASES
        for dtype in dtypes
    ]
    peaks = {dtype: product_peak(dtype) for dtype in dtypes}
    details = {
        "cases": cases,
        "peak_operations_per_second": peaks,
    }
    show(_claims(cases, peaks), details, as_json=arguments.json)
    if not arguments.json:
        print()
        print(_table(cases))


def _claims(cases: Sequence[dict[str, Any]], peaks: dict[str, float]) -> list[Claim]:
    claims = []
    for (placement, count, tokens), (name, bound) in BOUNDS.items():
        found = [c for c in cases if c["shape"] == HEADLINE and c["tokens"] == tokens]
        if not found:
            reason = f"the shape {HEADLINE} was left out"
            claims.append(missing(name, bound, "at_least", "times", reason))
            continue
        sides = [f"{placement}-{count}"], [s for s in found[0]["seconds"] if s.startswith("peft")]
        mine, other = (
            min(
                (case["all_seconds"][side] for case in found for side in names),
                key=median,
            )
            for names in sides
        )
        ratios = [count * b / a for a, b in zip(mine, other, strict=True)]
        # The claim is the ratio of medians; single ratios, whose turns may be unlike, give spread.
        middle = count * median(other) / median(mine)
        compiled = any(side.endswith("compiled") for side in sides[1])
        reason = "" if compiled else "compiled PEFT is left out"
        one = claim(name, ratios, bound, "at_least", "times", reason)
        # Beside eager PEFT alone a ratio may be too small, and never large enough.
        holds = None if middle >= bound and not compiled else middle >= bound
        claims.append(replace(one, value=round(middle, 3), holds=holds))
    for dtype, bound in PEAK.items():
        shares = [
            case["operations_per_second"] / peaks[dtype]
            for case in cases
            if case["shape"] == HEADLINE and case["dtype"] == dtype
        ]
        name = f"peak_share_{dtype}"
        if not shares:
            claims.append(missing(name, bound, "at_least", "share", "left out"))
        else:
            reason = "the worse of the two lengths of input"
            claims.append(claim(name, [min(shares)], bound, "at_least", "share", reason))
    return claims


def _table(cases: Sequence[dict[str, Any]]) -> str:
    """Milliseconds per step, and how many times faster per prompt than the faster PEFT."""
    lines = [
        f"{'shape':<6}{'tokens':>7} {'dtype':<6}{'PEFT ms':>9}"
        + "".join(f"{name:>13}" for name in ("suffix", "suffix x8", "prefix", "prefix x8"))
    ]
    for case in cases:
        seconds = case["seconds"]
        peft = min(value for name, value in seconds.items() if name.startswith("peft"))
        cells = []
        for side in ("suffix-1", "suffix-8", "prefix-1", "prefix-8"):
            count = int(side.rpartition("-")[2])
            cells.append(f"{1000 * seconds[side]:.0f} ({count * peft / seconds[side]:.1f}x)")
        lines.append(
            f"{case['shape']:<6}{case['tokens']:>7} {case['dtype']:<6}{1000 * peft:>9.0f}"
            + "".join(f"{cell:>13}" for cell in cells)
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
