"""LoRA (Hu et al. 2021, arXiv 2106.09685), by PEFT, on every linear layer."""

from __future__ import annotations

from softprompt.backbones import Backbone
from softprompt.comparison.adapters import Adapter
from softprompt.comparison.job import Job, Trained
from softprompt.comparison.methods import METHODS, Method
from softprompt.comparison.rates import searched
from softprompt.comparison.weights import Lesson, Material, of_task
from softprompt.comparison.work import Taught
from softprompt.locale import mark
from softprompt.prompts import Layout

__all__ = ["lora", "refuse_lora"]


def lora(job: Job) -> Trained:
    """W + B A with A [r, inputs] and B [outputs, r] trained; alpha is twice the rank.

    The matrices stay beside the weights: so they are stored, and so one model serves many tasks.
    """

    def make() -> Adapter:
        return Adapter(job.backbone(), job.how.lora_rank, job.config.training.seed)

    def material(backbone: Backbone, brief: Lesson) -> Material:
        return of_task(backbone, job.task, brief)

    found = searched(job, make, job.how.lora_rates, lambda adapter: adapter.backbone, material)
    adapter, folder, training = found.kept, job.folder / "adapter", job.config.training
    stored = adapter.save(folder)
    adapter.read(folder)
    backbone = adapter.backbone
    work = Taught(
        backbone=backbone,
        layout=Layout(backbone, None),
        chat=job.chat(backbone),
        drop_long=training.drop_long,
        max_new_tokens=training.max_new_tokens,
        detach=adapter.remove,
        switch=lambda: adapter.read(folder),
    )
    return Trained(
        work,
        validation=found.learned.score,
        trainable=adapter.parameters,
        stored_bytes=stored,
        seconds=found.seconds,
        details={**found.details, "rank": job.how.lora_rank},
    )


def refuse_lora(job: Job) -> None:
    """Refuses a model without layers that LoRA changes, and rows that do not fit.

    Raises:
        SoftPromptError: why, and what works.
    """
    backbone = job.backbone()
    job.refuse_long(Layout(backbone, None))
    Adapter(backbone, 1, 0)


def space(job: Job) -> dict[str, object]:
    """What LoRA chooses among."""
    how = job.how
    return {
        "rates": list(how.lora_rates),
        "rank": how.lora_rank,
        "search_epochs": how.search_epochs,
        "epochs": how.epochs,
        "least_steps": how.least_steps,
    }


METHODS.register("lora")(
    Method(lora, mark("LoRA"), 5, way="lora", needs="peft", check=refuse_lora, space=space)
)
