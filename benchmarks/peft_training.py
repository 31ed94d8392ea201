"""PEFT's methods trained as PEFT's guides train, and timed.

A plain loop with AdamW, linear warm-up and decay, gradient norms clipped at 1 as in PEFT's own
comparison of methods. The best validation's weights are kept; precision, threads and
`torch.compile` are what makes a step fastest here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from benchmarks.peft_methods import BATCH, Method, Side
from benchmarks.timeline import Timeline
from softprompt.inference import adjustment_for, measure, suited_score
from softprompt.tasks import Task
from softprompt.training.plan import threads_of

__all__ = ["Pace", "choose_pace", "train"]

WARMUP = 0.06
"""Share of the steps that warm up, as in our own schedule."""


@dataclass(frozen=True)
class Pace:
    """How a method computes.

    Args:
        dtype: precision of the frozen weights; what is trained stays in fp32, as PEFT has it.
        threads: of the processor.
        compiled: whether `torch.compile` is used.
    """

    dtype: str
    threads: int
    compiled: bool


def train(
    method: Method,
    task: Task,
    model: str,
    *,
    text: str,
    rate: float,
    epochs: int,
    validations: int,
    seed: int,
    metric: str,
    pace: Pace,
) -> dict[str, Any]:
    """Trains and measures the best validation's weights.

    Args:
        method: prompt tuning or LoRA.
        task: rows of all splits.
        model: name of the backbone.
        text: what a prompt starts from.
        rate: peak learning rate of AdamW.
        epochs: passes over the training rows.
        validations: per epoch.
        seed: of the order of rows and of LoRA's initial weights.
        metric: that chooses the epoch.
        pace: how it computes.

    Returns:
        `timeline` (of validations), `validation` (the best score, -1 where training diverged
        before the first), `seconds` (of the whole run), `adjustment` of the labels for the metric,
        `test` metrics with it and `test_without`. The clock runs from before
        the model is loaded; compiling and test rows are not on it.
    """
    with threads_of(pace.threads):
        timeline = Timeline()
        side = Side(method, task, model, text, pace.dtype, seed)
        if pace.compiled:
            with timeline.paused():
                side.compile()
        best_score = _learn(side, timeline, rate, epochs, validations, seed, metric)
        seconds = timeline.seconds
        held = side.encode(task.validation)
        adjustment = adjustment_for(task, held, side.answers(held), metric)
        test = side.encode(task.test)
        given = side.answers(test)
    return {
        "rate": rate,
        "epochs": epochs,
        "seconds": seconds,
        "validation": best_score,
        "timeline": timeline.points,
        "pace": asdict(pace),
        "adjustment": list(adjustment),
        "test": measure(task, test, given.at(given.temperature, adjustment)),
        "test_without": measure(task, test, given),
    }


def _learn(
    side: Side,
    timeline: Timeline,
    rate: float,
    epochs: int,
    validations: int,
    seed: int,
    metric: str,
) -> float:
    """Trains, leaves the best validation's weights in place and returns its score."""
    from transformers import get_linear_schedule_with_warmup

    validation = side.encode(side.task.validation)
    per_epoch = -(-len(side.examples) // BATCH)
    steps, every = epochs * per_epoch, max(1, per_epoch // validations)
    optimizer = torch.optim.AdamW(side.trained.values(), lr=rate)
    schedule: Any = get_linear_schedule_with_warmup(  # type: ignore[no-untyped-call]
        optimizer, round(WARMUP * steps), steps
    )
    best_score, best = -1.0, side.weights()
    order = (rows for epoch in range(epochs) for rows in side.batches(seed, epoch))
    for done, rows in enumerate(order, 1):
        _step(side, rows, optimizer)
        schedule.step()
        if done % every == 0 or done == steps:
            if not side.finite():
                break
            score = suited_score(side.task, validation, side.answers(validation), metric)
            timeline.note(score)
            if score > best_score:
                best_score, best = score, side.weights()
    side.restore(best)
    return best_score


def _step(side: Side, rows: Sequence[int], optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad(set_to_none=True)
    side.loss(rows).backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(side.trained.values(), 1.0)
    optimizer.step()


def choose_pace(
    method: Method, task: Task, model: str, text: str, *, compiling: bool
) -> dict[str, Any]:
    """What makes a step of a method fastest here.

    Precisions and numbers of threads take turns; the best of them is then tried compiled.

    Args:
        method, task, model, text: as for `train`.
        compiling: whether `torch.compile` is tried.

    Returns:
        `pace`, and `seconds` of a step by precision, threads and compilation.
    """
    sides = {dtype: Side(method, task, model, text, dtype) for dtype in ("fp32", "bf16")}
    every = torch.get_num_threads()
    on_cpu = sides["fp32"].backbone.device.type == "cpu"
    counts = sorted({1, every}) if on_cpu else [every]
    paces = [Pace(dtype, count, False) for dtype in sides for count in counts]
    seconds = _in_turns({pace: sides[pace.dtype] for pace in paces})
    best = min(seconds, key=lambda pace: seconds[pace])
    if compiling:
        fast = Pace(best.dtype, best.threads, True)
        try:
            with threads_of(fast.threads):
                sides[fast.dtype].compile()
            seconds |= _in_turns({fast: sides[fast.dtype]})
        except RuntimeError as error:
            print(f"{method.name} stays eager: {error}", file=sys.stderr)
    best = min(seconds, key=lambda pace: seconds[pace])
    named = {f"{p.dtype}-{p.threads}{'-compiled' * p.compiled}": s for p, s in seconds.items()}
    return {"pace": asdict(best), "seconds": {n: round(s, 5) for n, s in named.items()}}


def _in_turns(sides: Mapping[Pace, Side], turns: int = 6) -> dict[Pace, float]:
    """Seconds of forward and backward of a batch of middle length, the least of several tries."""
    found = dict.fromkeys(sides, float("inf"))
    for _ in range(turns):
        for pace, side in sides.items():
            batches = side.by_length()
            with threads_of(pace.threads):
                start = time.perf_counter()
                loss = side.loss(batches[len(batches) // 2])
                loss.backward()  # type: ignore[no-untyped-call]
                loss.item()
                found[pace] = min(found[pace], time.perf_counter() - start)
            side.model.zero_grad(set_to_none=True)
    return found
