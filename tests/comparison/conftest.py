"""A comparison of a tiny model on a tiny task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import feedback_task, save_tiny

from softprompt.comparison import CompareConfig, Comparison
from softprompt.comparison.job import Job
from softprompt.training import Reporter, RunConfig

FAST: dict[str, Any] = {"epochs": 1, "population": 1, "batch_size": 8}
HOW: dict[str, Any] = {
    "search_epochs": 1,
    "epochs": 1,
    "lora_epochs": 2,
    "lora_rates": (1e-3,),
    "full_rates": (1e-3, 1e-2),
    "suffix_tokens": 4,
    "latency_rows": 2,
}

Begun = Callable[..., Comparison]


def begin(
    folder: Path,
    *methods: str,
    training: dict[str, Any] | None = None,
    task: dict[str, Any] | None = None,
    prompt: dict[str, Any] | None = None,
    model: str | None = None,
    **how: Any,
) -> Any:
    """A comparison in `folder/run`."""
    folder.mkdir(exist_ok=True)
    feedback_task(folder)
    config = RunConfig.of(
        f"{folder}/feedback.jsonl",
        backbone={"model": model or str(save_tiny(folder / "model")), "dtype": "fp32"},
        task=task or {},
        prompt={"length": 4, **(prompt or {})},
        training={**FAST, **(training or {})},
    )
    settings = CompareConfig(methods=methods, **{**HOW, **how})
    return Comparison.begin(folder / "run", config, settings)


@pytest.fixture
def begun(tmp_path: Path) -> Begun:
    """Begins a comparison in the test's own folder."""

    def make(*methods: str, folder: str = "", **how: Any) -> Comparison:
        return begin(tmp_path / folder if folder else tmp_path, *methods, **how)

    return make


@pytest.fixture
def job(begun: Any, tmp_path: Path) -> Job:
    """What a method gets."""
    comparison = begun("majority")
    folder = tmp_path / "run" / "methods" / "one"
    folder.mkdir(parents=True)
    return Job(comparison.task, comparison.config, comparison.how, folder, Reporter())
