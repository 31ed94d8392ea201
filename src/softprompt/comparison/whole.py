"""Every weight of a model learns, in fp32, with products in bfloat16 where that pays.

What is learned from is the caller's matter. What is stored is what is used afterwards: the weights
in the backbone's own precision, loaded from the folder they were saved in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from softprompt.backbones import Backbone, progress_bars
from softprompt.comparison.adapters import folder_bytes
from softprompt.comparison.job import Job
from softprompt.comparison.rates import searched
from softprompt.comparison.stages import stage
from softprompt.comparison.weights import Lesson, Material
from softprompt.storage import atomic_folder

__all__ = ["space", "tuned_model"]


def tuned_model(
    job: Job, folder: Path, material: Callable[[Backbone, Lesson], Material]
) -> tuple[Backbone, dict[str, Any]]:
    """A model all of whose weights have learned, loaded from its folder, and what that took.

    Args:
        job: whose backbone and rates count.
        folder: where the model is kept; one that is there is taken as it is.
        material: what is learned from.

    Returns:
        the frozen backbone; and `parameters`, `bytes`, `learned`, `seconds`, `details`.
    """

    def make() -> Backbone:
        backbone = job.backbone(dtype="fp32")
        backbone.model.requires_grad_(True)
        return backbone

    def do() -> dict[str, Any]:
        dtype = job.backbone().compute_dtype
        found = searched(job, make, job.how.full_rates, lambda backbone: backbone, material)
        model: Any = found.kept.model
        with progress_bars(False), atomic_folder(folder) as fresh:
            model.to(dtype).save_pretrained(str(fresh), safe_serialization=True)
            found.kept.tokenizer.save_pretrained(str(fresh))
        return {
            "parameters": found.kept.parameters,
            "bytes": folder_bytes(folder),
            "learned": asdict(found.learned),
            "seconds": found.seconds,
            "details": found.details,
        }

    told = stage(folder.with_suffix(".json"), do)
    return loaded(job, folder), told


def loaded(job: Job, folder: Path) -> Backbone:
    """The stored model, in the precision that the backbone of the configuration has."""
    return job.backbone(model=str(folder), revision=None)


def space(job: Job) -> dict[str, Any]:
    """What full fine-tuning chooses among."""
    how = job.how
    return {
        "rates": list(how.full_rates),
        "search_epochs": how.search_epochs,
        "epochs": how.epochs,
        "least_steps": how.least_steps,
    }
