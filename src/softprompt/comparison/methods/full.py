"""Full fine-tuning: every weight learns the task."""

from __future__ import annotations

from softprompt.comparison.job import Job, Trained
from softprompt.comparison.learner import Learner
from softprompt.comparison.methods import EVERY_FORM, METHODS, Method, refuse_writing, whole_weights
from softprompt.comparison.weights import Lesson, Material, of_task
from softprompt.comparison.whole import loaded, space, tuned_model
from softprompt.comparison.work import Taught
from softprompt.locale import mark

__all__ = ["full"]


def full(job: Job) -> Trained:
    """A model of its own for the task, stored in the precision of the backbone."""
    folder, training = job.folder / "model", job.config.training

    def material(learner: Learner, brief: Lesson) -> Material:
        return of_task(learner, job.task, brief)

    def switch() -> None:
        loaded(job, folder)

    learner, told = tuned_model(job, folder, material)
    work = Taught(
        backbone=learner.backbone,
        layout=learner.layout,
        prompts=learner.prompts,
        chat=job.chat(learner.backbone),
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
        history=told.get("history", ()),
        details=told["details"],
    )


def _check(job: Job) -> None:
    whole_weights(job)
    learner = job.learner(job.backbone())
    refuse_writing(job, learner.backbone)
    job.refuse_long(learner.layout)


METHODS.register("full")(
    Method(
        full, mark("full fine-tuning"), 9, way="full", forms=EVERY_FORM, check=_check, space=space
    )
)
