"""A model fine-tuned on a broad domain, then prompt-tuned for the task.

The model is shared by all tasks of its domain (`shared_bytes`); a task of its own keeps a prompt.
"""

from __future__ import annotations

from softprompt.comparison.domain import domain_of
from softprompt.comparison.job import Job, Trained
from softprompt.comparison.methods import METHODS, Method, whole_weights
from softprompt.comparison.prompted import learned_prompt, refuse_prompt, space_of
from softprompt.comparison.whole import FOLDER, space, tuned_model
from softprompt.locale import mark

__all__ = ["full_prompt"]


def full_prompt(job: Job) -> Trained:
    """All weights learn the domain, with a search for the rate; then a prompt learns the task."""
    domain = domain_of(job)
    learner, told = tuned_model(job, job.folder / FOLDER, domain.material)
    return learned_prompt(
        job,
        learner.backbone,
        before=told,
        kept=(FOLDER,),
        parameters=told["parameters"],
        shared=True,
        domain=domain.summary,
        model=told["details"],
    )


def _check(job: Job) -> None:
    whole_weights(job)
    domain_of(job)
    refuse_prompt(job)


METHODS.register("full_prompt")(
    Method(
        full_prompt,
        mark("domain model + prompt"),
        10,
        way="full",
        check=_check,
        reads_domain=True,
        reads_prompt=True,
        space=lambda job: {"model": space(job), "prompt": space_of(job)},
    )
)
