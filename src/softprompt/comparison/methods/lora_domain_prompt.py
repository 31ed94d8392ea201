"""LoRA on a broad domain, then a soft prompt for the task over the model with it.

The matrices are shared by all tasks of the domain (`shared_bytes`), and so are the contexts that
the model with them makes; a task of its own keeps a prompt.
"""

from __future__ import annotations

from softprompt.comparison.domain import domain_of
from softprompt.comparison.job import Job, Trained
from softprompt.comparison.methods import METHODS, Method
from softprompt.comparison.methods.lora import tuned_adapter
from softprompt.comparison.methods.lora_prompt import prompt_over, refuse_lora_prompt, space
from softprompt.locale import mark

__all__ = ["lora_domain_prompt"]


def lora_domain_prompt(job: Job) -> Trained:
    """LoRA learns the domain, with a search for the rate; then a prompt learns the task."""
    domain = domain_of(job)
    adapter, told = tuned_adapter(job, domain.material)
    return prompt_over(job, adapter, told, shared=True, domain=domain.summary)


def _check(job: Job) -> None:
    domain_of(job)
    refuse_lora_prompt(job)


METHODS.register("lora_domain_prompt")(
    Method(
        lora_domain_prompt,
        mark("domain LoRA + prompt"),
        8,
        way="lora",
        needs="peft",
        check=_check,
        reads_domain=True,
        reads_prompt=True,
        space=space,
    )
)
