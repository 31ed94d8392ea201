"""What needs no training: the majority guess, the best hand prompt, examples in context."""

from __future__ import annotations

from dataclasses import replace

from softprompt.comparison.job import Job, Measured
from softprompt.comparison.methods import METHODS, Method
from softprompt.inference.baselines import BASELINES

__all__ = ["measured"]


def measured(name: str, job: Job) -> Measured:
    """A baseline on the test rows.

    Args:
        name: of the baseline.
        job: whose task and backbone count.
    """
    answers: list[str] = []
    request = replace(job.request(job.backbone()), heard=answers.extend)
    return Measured(BASELINES.get(name)(request), answers)


METHODS.register("majority")(Method(lambda job: measured("majority", job), 0))
METHODS.register("zero_shot")(Method(lambda job: measured("zero_shot", job), 1))
METHODS.register("few_shot")(Method(lambda job: measured("few_shot", job), 2))
