"""LoRA (Hu et al. 2021, arXiv 2106.09685), by PEFT, on every linear layer."""

from __future__ import annotations

import torch

from softprompt.backbones import Backbone
from softprompt.comparison.job import Job, Measured
from softprompt.comparison.methods import METHODS, Method
from softprompt.comparison.rates import searched

__all__ = ["lora"]


def lora(job: Job) -> Measured:
    """W + B A with A [r, inputs] and B [outputs, r] trained; alpha is twice the rank."""
    from peft import LoraConfig, TaskType, get_peft_model

    settings = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=job.how.lora_rank,
        lora_alpha=2 * job.how.lora_rank,
        target_modules="all-linear",
    )

    def make() -> Backbone:
        backbone = job.backbone()
        with torch.random.fork_rng():
            torch.manual_seed(job.config.training.seed)
            # The layers are changed in place, so the backbone computes with them.
            get_peft_model(backbone.model, settings)
        return backbone

    def size(backbone: Backbone) -> int:
        free = [p for p in backbone.model.parameters() if p.requires_grad]
        return sum(p.numel() * backbone.compute_dtype.itemsize for p in free)

    return searched(job, make, job.how.lora_rates, size)


METHODS.register("lora")(Method(lora, 4, needs="peft"))
