"""Full fine-tuning: every weight learns the task."""

from __future__ import annotations

from softprompt.comparison.job import Job, Trained
from softprompt.comparison.learner import Learner
from softprompt.comparison.methods import EVERY_FORM, METHODS, Method, refuse_writing, whole_weights
from softprompt.comparison.weights import Lesson, Material, of_task
from softprompt.comparison.whole import FOLDER, loaded, space, tuned_model
from softprompt.locale import mark

__all__ = ["full"]


def full(job: Job) -> Trained:
    """A model of its own for the task, stored in the precision of the backbone."""
    folder = job.folder / FOLDER

    def material(learner: Learner, brief: Lesson) -> Material:
        return of_task(learner, job.task, brief)

    def switch() -> None:
        loaded(job, folder)

    learner, told = tuned_model(job, folder, material)
    return Trained.of(job.taught(learner, switch=switch), told, told["parameters"], FOLDER)


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
