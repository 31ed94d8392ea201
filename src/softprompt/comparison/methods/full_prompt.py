"""A model fine-tuned on a broad domain, then prompt-tuned for the task.

The model is shared by all tasks of its domain (`shared_bytes`); a task of its own keeps a prompt.
"""

from __future__ import annotations

from softprompt.comparison.domain import domain_of
from softprompt.comparison.job import Job, Trained
from softprompt.comparison.methods import METHODS, Method, whole_weights
from softprompt.comparison.prompted import (
    KEPT,
    history_of,
    prompted,
    refuse_prompt,
    seconds_of,
    space_of,
    work_of,
)
from softprompt.comparison.whole import space, tuned_model
from softprompt.locale import mark

__all__ = ["full_prompt"]


def full_prompt(job: Job) -> Trained:
    """All weights learn the domain, with a search for the rate; then a prompt learns the task."""
    domain, training = domain_of(job), job.config.training
    learner, told = tuned_model(job, job.folder / "model", domain.material)
    result = prompted(job, learner.backbone, job.folder / "run")
    after, before = seconds_of(result, job.folder / "run"), told["seconds"]
    work = work_of(
        result,
        learner.backbone,
        max_new_tokens=training.max_new_tokens,
        drop_long=training.drop_long,
    )
    return Trained(
        work,
        validation=float(result["validation"][result["metric"]]),
        trainable=told["parameters"] + result["trainable_parameters"],
        stored_bytes=told["bytes"] + result["artifact_bytes"],
        shared_bytes=told["bytes"],
        seconds={
            "search": before["search"],
            "training": before["training"] + after["training"],
            "to_best": before["training"] + after["to_best"],
        },
        history=history_of(result, job.folder / "run", before["search"] + before["training"]),
        details={
            "domain": domain.summary,
            "model": told["details"],
            **{key: result[key] for key in KEPT},
        },
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
        space=lambda job: {"model": space(job), "prompt": space_of(job)},
    )
)
