"""Full fine-tuning: every weight learns, in fp32, with products in bfloat16 where that pays."""

from __future__ import annotations

from softprompt.backbones import Backbone
from softprompt.comparison.job import Job, Measured
from softprompt.comparison.methods import METHODS, Method
from softprompt.comparison.rates import searched

__all__ = ["full"]


def full(job: Job) -> Measured:
    """Its size on disk is that of a whole model in the precision of the backbone."""
    width = job.backbone().compute_dtype.itemsize

    def make() -> Backbone:
        backbone = job.backbone(dtype="fp32")
        backbone.model.requires_grad_(True)
        return backbone

    return searched(job, make, job.how.full_rates, lambda backbone: backbone.parameters * width)


METHODS.register("full")(Method(full, 5))
