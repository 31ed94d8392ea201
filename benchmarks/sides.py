"""One method with its settings on one task: how the studies measure it.

A side is a method of `softprompt.comparison`; it is trained, chosen and scored as `softprompt
compare` does it. It does not know which study asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors.numpy import load_file

from softprompt.backbones import BackboneConfig
from softprompt.comparison import METHODS, CompareConfig
from softprompt.comparison.job import Job
from softprompt.comparison.measures import quality
from softprompt.comparison.methods import Method
from softprompt.prompts import PromptConfig
from softprompt.tasks import Task
from softprompt.training import Reporter, RunConfig, TrainingConfig

__all__ = [
    "ALONE",
    "FULL",
    "HAND",
    "KV",
    "K_SHOT",
    "LORA",
    "PREFIX",
    "SUFFIX",
    "WITHOUT",
    "Cell",
    "Side",
    "measure_side",
]

Cell = dict[str, Any]

_DROPPED = ("answers", "validation_answers", "kept")
"""Parts of a measurement that are too large to keep, and where what is not kept was."""


@dataclass(frozen=True)
class Side:
    """A method with its settings.

    Args:
        name: in cells; another setting is another name.
        title: for people.
        method: of `softprompt.comparison`.
        prompt, training, how: settings that differ from the defaults.
        seeded: whether another seed gives another result.
        rates: name of the setting in `how` that holds learning rates to choose among, or nothing.
        searched: part of a cell's details that tells of that choice where they tell of more.
    """

    name: str
    title: str
    method: str = "soft_prompt"
    prompt: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    how: Mapping[str, Any] = field(default_factory=dict)
    seeded: bool = True
    rates: str = ""
    searched: str = ""

    def at(self, rate: float) -> Side:
        """The same side at one learning rate, without a search."""
        return replace(self, how={**self.how, self.rates: (rate,)})

    def rate(self, cell: Cell) -> float:
        """The learning rate that it had in a cell."""
        details = cell["details"]
        return float((details[self.searched] if self.searched else details)["rate"])


WITHOUT = {"readout": "off"}
"""Training without a readout of contexts, where prompts by themselves are studied."""

HAND = Side("hand", "best hand prompt", "zero_shot", seeded=False)
K_SHOT = Side("k_shot", "4 examples in context", "few_shot")
SUFFIX = Side("suffix", "prompt (default)")
PREFIX = Side("prefix", "prompt (prefix)", prompt={"placement": "prefix"})
KV = Side(
    "kv",
    "prompt (kv)",
    prompt={"depth": "kv", "placement": "suffix"},
    training={"ensemble": "off", **WITHOUT},
)
ALONE = Side("alone", "prompt (no readout)", training=WITHOUT)
LORA = Side("lora", "LoRA", "lora", rates="lora_rates")
FULL = Side("full", "full fine-tuning", "full", rates="full_rates")


def measure_side(
    task: Task,
    side: Side,
    model: str,
    *,
    metric: str,
    seed: int,
    epochs: int | None = None,
    measure: Callable[[Job, Method], Cell] | None = None,
    reporter: Reporter | None = None,
) -> Cell:
    """Trains a side in a folder that is removed afterwards, and measures it.

    Args:
        task: rows of all splits.
        side: to measure.
        model: name of the backbone.
        metric: that settings are chosen by.
        seed: of the order of rows and of initial vectors.
        epochs: of every side; None for what each has by default.
        measure: in place of quality alone.
        reporter: hears of the training.

    Returns:
        what `softprompt.comparison.measures.quality` finds, without answers; `stored_numbers`, and
        `described_bytes`, what a prompt's description takes.
    """
    training: dict[str, Any] = {"metric": metric, "seed": seed, "drop_long": True, "baselines": ()}
    if epochs is not None:
        training["epochs"] = epochs
    config = RunConfig(
        data=task.name,
        backbone=BackboneConfig(model=model),
        prompt=PromptConfig(**side.prompt),
        training=TrainingConfig(**{**training, **side.training}),
    )
    with TemporaryDirectory() as folder:
        settings = CompareConfig(**side.how)
        job = Job(task, config, settings, Path(folder) / side.name, reporter or Reporter())
        method = METHODS.get(side.method)
        method.check(job)
        found = (measure or _quality)(job, method)
        kept = [job.folder / part for part in found["kept"]]
        stored = _stored(kept[-1] if kept else None, found["trainable"])
    return {**{key: value for key, value in found.items() if key not in _DROPPED}, **stored}


def _quality(job: Job, method: Method) -> Cell:
    return quality(job, method)[1]


def _stored(folder: Path | None, trainable: int) -> dict[str, int]:
    """Numbers that are kept for a task and what describes them; a prompt's are folded."""
    if folder is None or not (folder / "prompt.json").is_file():
        return {"stored_numbers": trainable, "described_bytes": 0}
    numbers = sum(tensor.size for tensor in load_file(folder / "prompt.safetensors").values())
    described = (folder / "prompt.json").stat().st_size
    return {"stored_numbers": int(numbers), "described_bytes": described}
