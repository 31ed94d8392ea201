"""The soft prompt, as `softprompt tune` trains it."""

from __future__ import annotations

import time

from softprompt.comparison.job import Job, Trained
from softprompt.comparison.methods import EVERY_FORM, METHODS, Method
from softprompt.comparison.prompted import learned_prompt, refuse_prompt, space_of
from softprompt.locale import mark

__all__ = ["soft_prompt"]


def soft_prompt(job: Job) -> Trained:
    """A run in the method's folder; its population is its search."""
    begun = time.perf_counter()
    backbone = job.backbone()
    loaded = time.perf_counter() - begun
    return learned_prompt(job, backbone, loaded=loaded)


METHODS.register("soft_prompt")(
    Method(
        soft_prompt,
        mark("soft prompt"),
        4,
        way="soft_prompt",
        reads_prompt=True,
        forms=EVERY_FORM,
        check=refuse_prompt,
        space=space_of,
    )
)
