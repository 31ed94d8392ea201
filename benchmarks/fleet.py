"""What does one prompt among very many cost? Bytes, index, cold starts and network.

    python -m benchmarks.fleet [--prompts N] [--vectors P]

Prompts with random vectors for `nano`, written as artifacts, found by a registry, loaded by an
engine's residents, and embedded into requests as the gateway to vLLM sends them. The figures of
docs/scaling.md come from here; nothing is compared and nothing has a bound.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.serving import _resident
from softprompt.backbones import Backbone, load_backbone
from softprompt.inference.mixed import MixedRow
from softprompt.prompts import PromptTask, SoftPrompt
from softprompt.serving import Request
from softprompt.serving.registry import Registry
from softprompt.serving.residents import Residents
from softprompt.serving.vllm_payload import encoded, sequence
from softprompt.serving.vllm_table import load_embedding_table
from softprompt.serving.work import Preparation
from softprompt.tasks import Choice

TEXT = "giao hàng nhanh, đóng gói cẩn thận, sẽ quay lại. " * 4
LOOKUPS = 2000


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def write(folder: Path, backbone: Backbone, count: int, vectors: int) -> int:
    """Artifacts with different content; returns the bytes of one on disk."""
    task = PromptTask(
        "classification",
        "{text}\nĐánh giá: {answer}",
        ("text",),
        "rating",
        (Choice("good", "tốt"), Choice("bad", "xấu")),
    )
    generator = torch.Generator().manual_seed(0)
    for number in range(count):
        rows = torch.randn(vectors, backbone.hidden_size, generator=generator)
        SoftPrompt(
            tensors={"vectors": rows}, placement="suffix", task=task, backbone=backbone.identity
        ).save(folder / f"p{number}")
    return sum(file.stat().st_size for file in (folder / "p0").iterdir())


def index(folder: Path, backbone: Backbone, count: int) -> dict[str, Any]:
    """A registry that has never seen the folder, one that has, and its answers to names."""
    chance = random.Random(0)
    # What any registry brings along, once: libraries, above all.
    Registry(folder.parent / "none", backbone=backbone).close()
    before = _resident()
    first = seconds(lambda: Registry(folder, backbone=backbone).close())
    opened: list[Registry] = []
    again = seconds(lambda: opened.append(Registry(folder, backbone=backbone)))
    registry = opened[0]
    names = [f"p{chance.randrange(count)}" for _ in range(LOOKUPS)]
    lookups = [seconds(lambda name=name: registry.resolve(name)) for name in names]  # type: ignore[misc]
    residents = Residents(backbone, registry, 1 << 40)
    grown = (_resident() - before) / count
    cold = [seconds(lambda n=n: residents.get(f"p{n}")) for n in range(count)]  # type: ignore[misc]
    hot = [seconds(lambda name=name: residents.get(name)) for name in names]  # type: ignore[misc]
    loaded = (_resident() - before) / count - grown
    registry.close()
    return {
        "first_start_seconds": round(first, 2),
        "later_start_seconds": round(again, 2),
        "resolve_us": round(1e6 * median(lookups), 1),
        "idle_bytes": round(grown),
        "load_ms": round(1e3 * median(cold), 2),
        "loaded_bytes": round(loaded),
        "loaded_own_bytes": round(residents.bytes / count),
        "loaded_get_us": round(1e6 * median(hot), 1),
    }


def payload(folder: Path) -> dict[str, Any]:
    """One request to a vLLM server: its positions, its size, and the time to make it."""
    table: Any = load_embedding_table("nano")
    with Registry(folder, backbone=table) as registry:
        preparation = Preparation(table, Residents(table, registry, 1 << 30))
        work = preparation.work(Request(prompt="p0", text=TEXT))
        row: MixedRow = work.rows[0]
        taken = [seconds(lambda: encoded(sequence(table, row))) for _ in range(200)]
        return {
            "positions": work.tokens,
            "hidden_size": table.hidden_size,
            "request_bytes": len(encoded(sequence(table, row))),
            "text_bytes": len(TEXT.encode()),
            "encode_ms": round(1e3 * median(taken), 3),
        }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--prompts", type=int, default=2000)
    parser.add_argument("--vectors", type=int, default=16)
    arguments = parser.parse_args()
    backbone = load_backbone("nano", dtype="bf16", device="cpu")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "prompts"
        disk = write(folder, backbone, arguments.prompts, arguments.vectors)
        found = {
            "prompts": arguments.prompts,
            "vectors": arguments.vectors,
            "hidden_size": backbone.hidden_size,
            "vector_bytes_fp32": 4 * arguments.vectors * backbone.hidden_size,
            "disk_bytes": disk,
            **index(folder, backbone, arguments.prompts),
            "gateway": payload(folder),
            "command": "python -m benchmarks.fleet",
        }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
