"""LoRA that is active only after the context, so that cached contexts stay exact.

The last tokens before the answer and the answer itself go through the changed layers; everything
before them has the keys and values of the frozen model, computed once and kept in every epoch, as
for a soft prompt. Greenewald et al. 2025 ("Activated LoRA", arXiv 2504.12397) switch the matrices
on from an invocation sequence on; here the last tokens of the row are that sequence.
"""

from __future__ import annotations

from softprompt.backbones import Backbone, free_memory_budget
from softprompt.backbones.lora import NOTE
from softprompt.comparison.adapters import Adapter, SuffixBackbone
from softprompt.comparison.job import Job, Trained
from softprompt.comparison.learner import Learner
from softprompt.comparison.methods import METHODS, Method
from softprompt.comparison.methods.lora import FOLDER, refuse_lora, tuned_adapter
from softprompt.comparison.methods.lora import space as lora_space
from softprompt.comparison.weights import Lesson, Material, of_task
from softprompt.comparison.work import after_context
from softprompt.locale import mark
from softprompt.storage import write_json

__all__ = ["lora_suffix"]

_ABOUT = (
    "These matrices are active on the last {tokens} tokens of the input and on the answer only. "
    "PEFT applies them to every token, which is another model."
)


def lora_suffix(job: Job) -> Trained:
    """LoRA's matrices on the last `suffix_tokens` tokens of the input and on the answer."""
    tokens, training = job.how.suffix_tokens, job.config.training

    def make() -> Adapter:
        backbone = SuffixBackbone.of(job.backbone())
        backbone.adapter = Adapter(job.learner(backbone), job.how.lora_rank, training.seed)
        return backbone.adapter

    def material(learner: Learner, brief: Lesson) -> Material:
        budget = free_memory_budget(training.cache_share, learner.backbone.device)
        return of_task(
            learner,
            job.task,
            brief,
            cut=lambda encoded: after_context(encoded, tokens),
            budget=budget,
        )

    adapter, told = tuned_adapter(job, material, make)
    folder = job.folder / FOLDER
    backbone = adapter.learner.backbone
    # What PEFT's own files do not say.
    write_json(folder / NOTE, {"active_tokens": tokens, "note": _ABOUT.format(tokens=tokens)})

    def detach() -> Backbone:
        adapter.remove()
        # With the model's own layers back, the plain backbone of the same weights speaks for it.
        return Backbone(
            backbone.model,
            backbone.tokenizer,
            backbone.identity,
            backbone.dtype,
            backbone.settings,
        )

    def switch() -> None:
        adapter.read(folder)

    work = job.taught(adapter.learner, after=tokens, detach=detach, switch=switch)
    return Trained.of(work, told, adapter.parameters, FOLDER, active_tokens=tokens)


METHODS.register("lora_suffix")(
    Method(
        lora_suffix,
        mark("LoRA after the context"),
        5,
        way="lora",
        needs="peft",
        forms=frozenset({"continued"}),
        check=refuse_lora,
        space=lambda job: {**lora_space(job), "active_tokens": job.how.suffix_tokens},
    )
)
