"""What needs no training: the majority guess, the best hand prompt, examples in context."""

from __future__ import annotations

import time
from dataclasses import replace

from softprompt.comparison.job import Job, Trained
from softprompt.comparison.methods import EVERY_FORM, METHODS, Method
from softprompt.comparison.work import Asked
from softprompt.errors import UsageError
from softprompt.inference.baselines import BASELINES
from softprompt.inference.baselines.zero_shot import hand_written
from softprompt.locale import _, mark

__all__ = ["asked"]


def asked(name: str, job: Job, *, own: bool = False) -> Trained:
    """A baseline with what it chooses chosen.

    Args:
        name: of the baseline.
        job: whose task and backbone count.
        own: the task's own template in place of several wordings.
    """
    request = job.request(job.backbone())
    if own:
        wordings = [template.text for template in hand_written(job.task)[:1] if template]
        request = replace(request, templates=tuple(wordings))
    begun = time.perf_counter()
    chosen = BASELINES.get(name).choose(request)
    seconds = {} if own else {"search": time.perf_counter() - begun}
    details = {key: chosen[key] for key in _TOLD if key in chosen}
    return Trained(Asked(name, request, chosen), seconds=seconds, details=details)


def _closed(job: Job) -> None:
    """Refuses to guess among free texts.

    Raises:
        UsageError: naming the nearest that works.
    """
    if not job.task.choices:
        raise UsageError(
            _("The majority guess needs answer choices; this task generates free text."),
            _("The nearest that works is zero_shot."),
        )


_TOLD = ("guess", "template", "templates_tried", "shots")

METHODS.register("majority")(
    Method(
        lambda job: asked("majority", job),
        mark("majority guess"),
        0,
        trains=False,
        choices_only=True,
        forms=EVERY_FORM,
        check=_closed,
    )
)
METHODS.register("own_template")(
    Method(
        lambda job: asked("zero_shot", job, own=True),
        mark("task's own template"),
        1,
        trains=False,
        way="hand_prompt",
    )
)
METHODS.register("zero_shot")(
    Method(
        lambda job: asked("zero_shot", job),
        mark("best hand prompt"),
        2,
        trains=False,
        way="hand_prompt",
    )
)
METHODS.register("few_shot")(
    Method(
        lambda job: asked("few_shot", job),
        mark("examples in context"),
        3,
        trains=False,
        way="hand_prompt",
    )
)
