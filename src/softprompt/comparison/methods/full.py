"""Full fine-tuning: every weight learns the task."""

from __future__ import annotations

from softprompt.backbones import Backbone
from softprompt.comparison.job import Job, Trained
from softprompt.comparison.methods import METHODS, Method, whole_weights
from softprompt.comparison.weights import Lesson, Material, of_task
from softprompt.comparison.whole import loaded, space, tuned_model
from softprompt.comparison.work import Taught
from softprompt.locale import mark
from softprompt.prompts import Layout

__all__ = ["full"]


def full(job: Job) -> Trained:
    """A model of its own for the task, stored in the precision of the backbone."""
    folder, training = job.folder / "model", job.config.training

    def material(backbone: Backbone, brief: Lesson) -> Material:
        return of_task(backbone, job.task, brief)

    def switch() -> None:
        loaded(job, folder)

    backbone, told = tuned_model(job, folder, material)
    work = Taught(
        backbone=backbone,
        layout=Layout(backbone, None),
        chat=job.chat(backbone),
        drop_long=training.drop_long,
        max_new_tokens=training.max_new_tokens,
        switch=switch,
    )
    return Trained(
        work,
        validation=told["learned"]["score"],
        trainable=told["parameters"],
        stored_bytes=told["bytes"],
        seconds=told["seconds"],
        details=told["details"],
    )


def _check(job: Job) -> None:
    whole_weights(job)
    job.refuse_long(Layout(job.backbone(), None))


METHODS.register("full")(
    Method(full, mark("full fine-tuning"), 7, way="full", check=_check, space=space)
)
