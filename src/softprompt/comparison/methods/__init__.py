"""Ways to do a task, one file each: from a job to what has learned it.

A method knows its own training and nothing of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from softprompt.backbones import Backbone
from softprompt.backbones.lora import is_lora
from softprompt.comparison.job import Job, Trained
from softprompt.errors import UsageError
from softprompt.locale import _, mark
from softprompt.registry import Registry, discover

__all__ = [
    "EVERY_FORM",
    "METHODS",
    "WRITING",
    "Method",
    "refuse",
    "refuse_adapted",
    "refuse_writing",
    "whole_weights",
]

WRITING = frozenset({"continued", "encoder_decoder"})
"""Backbones that write; an encoder has no answer without a head that is trained."""

EVERY_FORM = WRITING | {"pooled"}
"""All of them: what trains a head where the backbone has no answer of its own."""


_WHY_NOT = {
    "pooled": mark(
        "{model} is an encoder: it has no answer without a head, and {name!r} trains none."
    ),
    "encoder_decoder": mark(
        "{model} reads a text as a whole: no part of it stays as the frozen model has it for "
        "{name!r} to come after."
    ),
    "continued": mark("{model} reads and writes in one go, which {name!r} does not suit."),
}
"""Why a method cannot use a backbone, by what the backbone is."""


@dataclass(frozen=True)
class Method:
    """A way to do a task.

    Args:
        run: trains it.
        title: what people call it; marked for translation.
        cost: place in the order of what a task costs to make and keep, the cheapest first.
        trains: whether anything learns.
        way: of adapting a model that it stands for (see `softprompt.comparison.advice`), or None.
        choices_only: whether it needs answer choices.
        needs: the optional package that it imports, or None.
        reads_domain: whether it learns a broad domain first.
        reads_prompt: whether it trains a prompt by the settings of `softprompt tune`.
        forms: kinds of backbone that it suits, as `Backbone.form` names them.
        check: refuses what the method cannot do with this task and backbone, before anything is
            trained; the hint names the nearest that works.
        space: what it searches and how it is set up, from the comparison's settings.
    """

    run: Callable[[Job], Trained]
    title: str
    cost: int
    trains: bool = True
    way: str | None = None
    choices_only: bool = False
    needs: str | None = None
    reads_domain: bool = False
    reads_prompt: bool = False
    forms: frozenset[str] = WRITING
    check: Callable[[Job], None] = lambda job: None
    space: Callable[[Job], Mapping[str, Any]] = lambda job: {}


def refuse(name: str, job: Job) -> None:
    """Refuses a method that this backbone or task cannot take, before anything is trained.

    Args:
        name: of the method.
        job: with the backbone `loaded`, so that one model at a time is in memory: what is loaded
            here counts to the method's peak.

    Raises:
        SoftPromptError: why, naming the nearest that works.
    """
    method, backbone = METHODS.get(name), job.backbone()
    if backbone.form not in method.forms:
        others = {other: METHODS.get(other) for other in METHODS}
        # One of the same way where there is one, and then the one that costs about as much.
        able = {
            other: (how.way != method.way, abs(how.cost - method.cost))
            for other, how in others.items()
            if how.trains and backbone.form in how.forms
        }
        raise UsageError(
            _(_WHY_NOT[backbone.form]).format(name=name, model=type(backbone.model).__name__),
            _("The nearest that works is {method}.").format(
                method=min(able, key=lambda other: able[other])
            ),
        )
    method.check(job)


def refuse_writing(job: Job, backbone: Backbone) -> None:
    """Refuses a task that is written where the backbone tells choices apart and writes nothing.

    Raises:
        UsageError: what to choose instead.
    """
    if backbone.form not in WRITING and not job.task.choices:
        raise UsageError(
            _("{model} is an encoder: it tells choices apart and writes no text.").format(
                model=backbone.identity.name
            ),
            _(
                "Give a task with answer choices, or choose a model that writes (`softprompt "
                "models`)."
            ),
        )


def refuse_adapted(job: Job) -> None:
    """Refuses to train weights or matrices of a model that has LoRA in it already.

    Raises:
        UsageError: naming the nearest that works.
    """
    if is_lora(job.config.backbone.model):
        raise UsageError(
            _("{model} is LoRA over a model; its weights are not trained further.").format(
                model=job.config.backbone.model
            ),
            _("The nearest that works is {method}.").format(method="soft_prompt"),
        )


def whole_weights(job: Job) -> None:
    """Refuses to train weights that are quantized, spread over devices or beside LoRA's matrices.

    Raises:
        UsageError: naming the nearest that works.
    """
    refuse_adapted(job)
    settings = job.config.backbone
    if settings.quantization != "none" or settings.device_map is not None:
        raise UsageError(
            _("Full fine-tuning cannot train weights in {kind}.").format(kind=settings.quantization)
            if settings.quantization != "none"
            else _("Full fine-tuning cannot train a model spread over devices."),
            _("The nearest that works is lora; soft_prompt works as well."),
        )


METHODS: Registry[Method] = Registry(mark("method"))
discover(__name__, list(__path__))
