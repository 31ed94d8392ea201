"""The soft prompt, as `softprompt tune` trains it."""

from __future__ import annotations

import time

from softprompt.comparison.job import Job, Trained
from softprompt.comparison.methods import METHODS, WRITING, Method
from softprompt.comparison.prompted import (
    KEPT,
    history_of,
    prompted,
    refuse_prompt,
    seconds_of,
    space_of,
    work_of,
)
from softprompt.locale import mark

__all__ = ["soft_prompt"]


def soft_prompt(job: Job) -> Trained:
    """A run in the method's folder; its population is its search."""
    begun = time.perf_counter()
    backbone = job.backbone()
    loaded = time.perf_counter() - begun
    folder = job.folder / "run"
    result = prompted(job, backbone, folder)
    training = job.config.training
    work = work_of(
        result, backbone, max_new_tokens=training.max_new_tokens, drop_long=training.drop_long
    )
    kept = {key: result[key] for key in KEPT}
    return Trained(
        work,
        validation=float(result["validation"][result["metric"]]),
        trainable=result["trainable_parameters"],
        stored_bytes=result["artifact_bytes"],
        seconds=seconds_of(result, folder, loaded),
        history=history_of(result, folder, loaded),
        details=kept,
    )


METHODS.register("soft_prompt")(
    Method(
        soft_prompt,
        mark("soft prompt"),
        4,
        way="soft_prompt",
        forms=WRITING | {"pooled"},
        check=refuse_prompt,
        space=space_of,
    )
)
