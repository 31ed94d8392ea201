"""Every weight of a model learns, in fp32, with products in bfloat16 where the backbone's are.

What is learned from is the caller's matter. What is stored is what is used afterwards: the weights
in the backbone's own precision, loaded from the folder they were saved in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch

from softprompt.backbones import progress_bars
from softprompt.comparison.adapters import folder_bytes
from softprompt.comparison.job import Job
from softprompt.comparison.learner import Learner
from softprompt.comparison.rates import searched
from softprompt.comparison.stages import stage
from softprompt.comparison.trainings import Trainings
from softprompt.comparison.weights import Lesson, Material
from softprompt.storage import atomic_folder

__all__ = ["FOLDER", "loaded", "space", "tuned_model"]

FOLDER = "model"
"""Of a method's own folder, where the model is kept."""


def tuned_model(
    job: Job, folder: Path, material: Callable[[Learner, Lesson], Material]
) -> tuple[Learner, dict[str, Any]]:
    """A model all of whose weights have learned, loaded from its folder, and what that took.

    Args:
        job: whose backbone and rates count.
        folder: where the model is kept; one that is there is taken as it is.
        material: what is learned from.

    Returns:
        the model, frozen, with its head; and `parameters`, `bytes`, `seconds`,
        `history` and `details`.
    """

    def do() -> dict[str, Any]:
        dtype = job.backbone().compute_dtype

        def make() -> Learner:
            learner = job.learner(job.backbone(dtype="fp32"))
            learner.backbone.model.requires_grad_(True)
            return replace(learner, half=dtype is torch.bfloat16)

        rates, epochs = job.how.full_rates, job.how.epochs
        found = searched(job, make, rates, epochs, lambda learner: learner, material)
        backbone, model = found.kept.backbone, cast(Any, found.kept.backbone.model)
        with progress_bars(False), atomic_folder(folder) as fresh:
            model.to(dtype).save_pretrained(str(fresh), safe_serialization=True)
            backbone.tokenizer.save_pretrained(str(fresh))
            found.kept.save_head(fresh)
        return {
            "parameters": sum(p.numel() for p in found.kept.free),
            "bytes": folder_bytes(folder),
            "seconds": found.seconds,
            "history": found.history,
            "details": found.details,
        }

    told = stage(folder.with_suffix(".json"), do)
    Trainings(job.folder).remove()
    return loaded(job, folder), told


def loaded(job: Job, folder: Path) -> Learner:
    """The stored model, in the precision that the backbone of the configuration has."""
    learner = job.learner(job.backbone(model=str(folder.absolute()), revision=None))
    learner.read_head(folder)
    return learner


def space(job: Job) -> dict[str, Any]:
    """What full fine-tuning chooses among."""
    how = job.how
    return {
        "rates": list(how.full_rates),
        "search_epochs": how.search_epochs,
        "epochs": how.epochs or job.config.training.epochs,
    }
