"""The sides of `benchmarks.memory`: what each builds, and the peak that it reaches in this process.

It knows one measurement; processes, repetitions and claims are in `benchmarks.memory`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.plain_loop import full_step, lora_step, prompt_tuning_step
from benchmarks.resident import Watch
from benchmarks.shapes import Shape, build, build_model
from benchmarks.train_step import training_loop
from softprompt.inference.context_store import ContextStore

__all__ = ["OURS", "SIDES", "TINY", "measure"]

OURS = ("suffix", "suffix-held", "suffix-disk")
SIDES = (*OURS, "prefix", "peft", "lora", "full", "full-checkpointed", "full-half")
TINY = Shape(32, 2, 4, 2, 64, 320)

Step = Callable[[], object]


def prepare(
    side: str, shape: Shape, dtype: str, rows: int, tokens: int, held: int, folder: Path
) -> tuple[Step, int, dict[str, Any]]:
    """One step of a side, how many of them see every row, and what is known of its memory.

    Args:
        side: one of `SIDES`.
        shape: of the model.
        dtype: `fp32` or `bf16`.
        rows, tokens: of a batch.
        held: rows of the larger caches.
        folder: for contexts on disk.
    """
    weights = "fp32" if side in ("full", "full-checkpointed") else dtype
    if side not in (*OURS, "prefix"):
        model = build_model(shape, weights)
        about = {"weight_bytes": sum(p.numel() * p.element_size() for p in model.parameters())}
        if side == "peft":
            return prompt_tuning_step(model, rows, tokens), 1, about
        if side == "lora":
            return lora_step(model, rows, tokens), 1, about
        half, checkpointed = weights != dtype, side == "full-checkpointed"
        return full_step(model, rows, tokens, half=half, checkpointed=checkpointed), 1, about
    backbone = build(shape, dtype)
    about = {"weight_bytes": backbone.weight_bytes}
    loop, _ = training_loop(
        backbone,
        side.partition("-")[0],
        1,
        rows,
        tokens,
        held=held if side in ("suffix-held", "suffix-disk") else rows,
        store=ContextStore(backbone, folder) if side == "suffix-disk" else None,
    )
    about["cache_bytes"] = loop.rows.contexts.bytes
    about["stored_bytes"] = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
    about["rows_in_a_pass"] = min(rows, loop.course.part)
    return loop.train_step, loop.per_epoch, about


def measure(
    side: str, shape: Shape, dtype: str, rows: int, tokens: int, held: int, steps: int
) -> dict[str, Any]:
    """Peak memory of a side in this process; bytes.

    Args:
        side, shape, dtype, rows, tokens, held: see `prepare`.
        steps: at least 2, since an optimiser makes its moments in the first.
    """
    with tempfile.TemporaryDirectory() as folder:
        step, _, _ = prepare(side, TINY, dtype, 2, 8, 2, Path(folder, "tiny"))
        step()
        del step
        with Watch() as watch:
            step, epoch, about = prepare(
                side, shape, dtype, rows, tokens, held, Path(folder, "cache")
            )
            for _ in range(max(steps, epoch)):
                step()
    return {**asdict(watch.peak), **about}
