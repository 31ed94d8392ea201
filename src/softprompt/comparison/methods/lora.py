"""LoRA (Hu et al. 2021, arXiv 2106.09685), by PEFT, on every linear layer."""

from __future__ import annotations

from softprompt.comparison.adapters import Adapter
from softprompt.comparison.job import Job, Trained
from softprompt.comparison.learner import Learner
from softprompt.comparison.methods import EVERY_FORM, METHODS, Method, refuse_writing
from softprompt.comparison.rates import searched
from softprompt.comparison.weights import Lesson, Material, of_task
from softprompt.comparison.work import Taught
from softprompt.locale import mark

__all__ = ["lora", "refuse_lora"]


def lora(job: Job) -> Trained:
    """W + B A with A [r, inputs] and B [outputs, r] trained; alpha is twice the rank.

    The matrices stay beside the weights: so they are stored, and so one model serves many tasks.
    """

    def make() -> Adapter:
        return Adapter(job.learner(job.backbone()), job.how.lora_rank, job.config.training.seed)

    def material(learner: Learner, brief: Lesson) -> Material:
        return of_task(learner, job.task, brief)

    found = searched(job, make, job.how.lora_rates, lambda adapter: adapter.learner, material)
    adapter, folder, training = found.kept, job.folder / "adapter", job.config.training
    stored = adapter.save(folder)
    adapter.read(folder)
    learner = adapter.learner
    work = Taught(
        backbone=learner.backbone,
        layout=learner.layout,
        prompts=learner.prompts,
        chat=job.chat(learner.backbone),
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
        "epochs": how.epochs,
        "least_steps": how.least_steps,
    }


METHODS.register("lora")(
    Method(
        lora,
        mark("LoRA"),
        5,
        way="lora",
        needs="peft",
        forms=EVERY_FORM,
        check=refuse_lora,
        space=space,
    )
)
