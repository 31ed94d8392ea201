"""LoRA and a soft prompt together: LoRA learns the task, then a prompt learns it over that.

The two learn one after the other: with the matrices fixed the model is frozen again, so contexts
are cached exactly and the prompt gets its whole population, which a joint training would not give
it. The prompt belongs to the model with these matrices and to no other.
"""

from __future__ import annotations

from softprompt.backbones import Identity
from softprompt.comparison.adapters import Adapter
from softprompt.comparison.job import Job, Trained
from softprompt.comparison.learner import Learner
from softprompt.comparison.methods import METHODS, Method
from softprompt.comparison.methods.lora import lora, refuse_lora
from softprompt.comparison.methods.lora import space as lora_space
from softprompt.comparison.prompted import (
    prompted,
    refuse_prompt,
    seconds_of,
    space_of,
    work_of,
)
from softprompt.comparison.stages import stage
from softprompt.locale import mark
from softprompt.storage import sha256

__all__ = ["lora_prompt"]


def lora_prompt(job: Job) -> Trained:
    """LoRA as the method `lora` trains it, then a run over the model with it."""
    folder, training = job.folder / "adapter", job.config.training

    def first() -> dict[str, object]:
        trained = lora(job)
        return {
            "trainable": trained.trainable,
            "bytes": trained.stored_bytes,
            "seconds": dict(trained.seconds),
            "details": dict(trained.details),
        }

    tuned = stage(job.folder / "adapter.json", first)
    adapter = Adapter(Learner(job.backbone()), job.how.lora_rank, training.seed)
    adapter.read(folder)
    plain = adapter.learner.backbone
    content = (folder / "adapter_model.safetensors").read_bytes()
    weights = sha256((plain.identity.weights + sha256(content)).encode())
    identity = Identity(
        f"{plain.identity.name} with {folder}", None, weights, plain.identity.tokenizer
    )
    backbone = type(plain)(plain.model, plain.tokenizer, identity, plain.dtype, plain.settings)
    result = prompted(job, backbone, job.folder / "run")
    after = seconds_of(result, job.folder / "run")
    work = work_of(
        result,
        backbone,
        detach=adapter.remove,
        max_new_tokens=training.max_new_tokens,
        drop_long=training.drop_long,
    )
    before = tuned["seconds"]
    return Trained(
        work,
        validation=float(result["validation"][result["metric"]]),
        trainable=tuned["trainable"] + result["trainable_parameters"],
        stored_bytes=tuned["bytes"] + result["artifact_bytes"],
        seconds={
            "search": before["search"],
            "training": before["training"] + after["training"],
            "to_best": before["training"] + after["to_best"],
        },
        details={
            "lora": tuned["details"],
            **{key: result[key] for key in ("population", "selection", "steps", "prompt")},
        },
    )


def _check(job: Job) -> None:
    refuse_lora(job)
    refuse_prompt(job)


METHODS.register("lora_prompt")(
    Method(
        lora_prompt,
        mark("LoRA + soft prompt"),
        6,
        way="lora",
        needs="peft",
        check=_check,
        space=lambda job: {"lora": lora_space(job), "prompt": space_of(job)},
    )
)
