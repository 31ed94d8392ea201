"""LoRA and a soft prompt together: LoRA learns the task, then a prompt learns it over that.

The two learn one after the other: with the matrices fixed the model is frozen again, so contexts
are cached exactly and the prompt gets its whole population, which a joint training would not give
it. The prompt belongs to the model with these matrices and to no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from softprompt.backbones.lora import identity_with
from softprompt.comparison.adapters import Adapter
from softprompt.comparison.job import Job, Trained
from softprompt.comparison.learner import Learner
from softprompt.comparison.methods import METHODS, Method
from softprompt.comparison.methods.lora import FOLDER, refuse_lora, tuned_adapter
from softprompt.comparison.methods.lora import space as lora_space
from softprompt.comparison.prompted import learned_prompt, refuse_prompt, space_of
from softprompt.comparison.weights import Lesson, Material, of_task
from softprompt.locale import mark

__all__ = ["lora_prompt", "prompt_over", "refuse_lora_prompt", "space"]


def lora_prompt(job: Job) -> Trained:
    """LoRA as the method `lora` trains it, then a run over the model with it."""

    def material(learner: Learner, brief: Lesson) -> Material:
        return of_task(learner, job.task, brief)

    adapter, told = tuned_adapter(job, material)

    def put() -> None:
        adapter.read(job.folder / FOLDER)

    trained = prompt_over(job, adapter, told, put=put)
    return replace(trained, history=[*told.get("history", ()), *trained.history])


def prompt_over(job: Job, adapter: Adapter, told: Mapping[str, Any], **how: Any) -> Trained:
    """A prompt that learns the task over a model with fixed matrices.

    Args:
        job: whose task counts.
        adapter: the matrices, in their model.
        told: what they took (see `tuned_adapter`).
        how: they are used beside that (see `learned_prompt`).
    """
    plain, folder = adapter.learner.backbone, job.folder / FOLDER
    identity = identity_with(plain.identity, folder)
    settings = {**plain.settings, "model": identity.name, "revision": None}
    backbone = type(plain)(plain.model, plain.tokenizer, identity, plain.dtype, settings)
    return learned_prompt(
        job,
        backbone,
        before=told,
        kept=(FOLDER,),
        parameters=adapter.parameters,
        detach=adapter.remove,
        lora=told["details"],
        **how,
    )


def refuse_lora_prompt(job: Job) -> None:
    """Refuses what LoRA or a prompt cannot take, before anything is trained.

    Raises:
        SoftPromptError: why, and what works.
    """
    refuse_lora(job)
    refuse_prompt(job)


def space(job: Job) -> dict[str, object]:
    """What LoRA and the prompt after it choose among."""
    return {"lora": lora_space(job), "prompt": space_of(job)}


METHODS.register("lora_prompt")(
    Method(
        lora_prompt,
        mark("LoRA + soft prompt"),
        7,
        way="lora",
        needs="peft",
        reads_prompt=True,
        check=refuse_lora_prompt,
        space=space,
    )
)
