"""LoRA (Hu et al. 2021, arXiv 2106.09685), by PEFT, on every linear layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from softprompt.comparison.adapters import Adapter
from softprompt.comparison.job import Job, Trained
from softprompt.comparison.learner import Learner
from softprompt.comparison.methods import (
    EVERY_FORM,
    METHODS,
    Method,
    refuse_adapted,
    refuse_writing,
)
from softprompt.comparison.rates import searched
from softprompt.comparison.stages import stage
from softprompt.comparison.trainings import Trainings
from softprompt.comparison.weights import Lesson, Material, of_task
from softprompt.locale import mark

__all__ = ["FOLDER", "lora", "refuse_lora", "tuned_adapter"]

FOLDER = "adapter"
"""Of a method's own folder, where its matrices are kept."""


def lora(job: Job) -> Trained:
    """W + (alpha / r) B A with A [r, inputs] and B [outputs, r] trained; alpha is twice the rank r.

    The matrices stay beside the weights: so they are stored, and so one model serves many tasks.
    """

    def material(learner: Learner, brief: Lesson) -> Material:
        return of_task(learner, job.task, brief)

    adapter, told = tuned_adapter(job, material)

    def switch() -> None:
        adapter.read(job.folder / FOLDER)

    work = job.taught(adapter.learner, detach=adapter.remove, switch=switch)
    return Trained.of(work, told, adapter.parameters, FOLDER)


def tuned_adapter(
    job: Job,
    material: Callable[[Learner, Lesson], Material],
    make: Callable[[], Adapter] | None = None,
) -> tuple[Adapter, dict[str, Any]]:
    """Matrices that have learned, read from their folder, and what that took.

    Args:
        job: whose backbone and rates count; in its folder they are kept, and matrices that are
            there are taken as they are.
        material: what is learned from.
        make: fresh matrices; on every token of the job's own backbone when absent.

    Returns:
        the matrices in a fresh backbone; and `bytes`, `seconds`, `history`, `details`.
    """
    folder = job.folder / FOLDER

    def usual() -> Adapter:
        return Adapter(job.learner(job.backbone()), job.how.lora_rank, job.config.training.seed)

    fresh = make or usual

    def do() -> dict[str, Any]:
        rates, epochs = job.how.lora_rates, job.how.lora_epochs
        found = searched(job, fresh, rates, epochs, lambda adapter: adapter.learner, material)
        return {
            "bytes": found.kept.save(folder),
            "seconds": found.seconds,
            "history": found.history,
            "details": {**found.details, "rank": job.how.lora_rank},
        }

    told = stage(folder.with_suffix(".json"), do)
    Trainings(job.folder).remove()
    adapter = fresh()
    adapter.read(folder)
    return adapter, told


def refuse_lora(job: Job) -> None:
    """Refuses a model without layers that LoRA changes, and rows that do not fit.

    Raises:
        SoftPromptError: why, and what works.
    """
    refuse_adapted(job)
    learner = job.learner(job.backbone())
    refuse_writing(job, learner.backbone)
    job.refuse_long(learner.layout)
    Adapter(learner, 1, 0)


def space(job: Job) -> dict[str, object]:
    """What LoRA chooses among."""
    how = job.how
    return {
        "rates": list(how.lora_rates),
        "rank": how.lora_rank,
        "search_epochs": how.search_epochs,
        "epochs": how.lora_epochs or job.config.training.epochs,
    }


METHODS.register("lora")(
    Method(
        lora,
        mark("LoRA"),
        6,
        way="lora",
        needs="peft",
        forms=EVERY_FORM,
        check=refuse_lora,
        space=space,
    )
)
