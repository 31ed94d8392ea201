"""What needs no training: the majority guess, the best hand prompt, examples in context."""

from __future__ import annotations

from dataclasses import replace

from softprompt.comparison.job import Job, Trained
from softprompt.comparison.methods import METHODS, WRITING, Method
from softprompt.comparison.work import Asked
from softprompt.errors import UsageError
from softprompt.inference.baselines import BASELINES
from softprompt.locale import mark

__all__ = ["asked"]


def asked(name: str, job: Job) -> Trained:
    """A baseline with what it chooses chosen.

    Args:
        name: of the baseline.
        job: whose task and backbone count.
    """
    request = job.request(job.backbone())
    # One row shows what is chosen; the test rows are answered later, with that.
    first = replace(request, task=replace(job.task, test=job.task.test[:1]))
    chosen = BASELINES.get(name)(first)
    details = {key: chosen[key] for key in _TOLD if key in chosen}
    if chosen.get("template"):
        request = replace(request, templates=(str(chosen["template"]),))
    return Trained(Asked(name, request), details=details)


def _closed(job: Job) -> None:
    """Refuses to guess among free texts.

    Raises:
        UsageError: naming the nearest that works.
    """
    if not job.task.choices:
        raise UsageError(
            "The majority guess needs answer choices; this task generates free text.",
            "The nearest that works is zero_shot.",
        )


_TOLD = ("guess", "template", "templates_tried", "shots")

METHODS.register("majority")(
    Method(
        lambda job: asked("majority", job),
        mark("majority guess"),
        0,
        trains=False,
        choices_only=True,
        forms=WRITING | {"pooled"},
        check=_closed,
    )
)
METHODS.register("zero_shot")(
    Method(
        lambda job: asked("zero_shot", job),
        mark("best hand prompt"),
        1,
        trains=False,
        way="hand_prompt",
    )
)
METHODS.register("few_shot")(
    Method(
        lambda job: asked("few_shot", job),
        mark("examples in context"),
        2,
        trains=False,
        way="hand_prompt",
    )
)
