"""When the learning rate warms up, stays and falls: warm-up, stable, cool-down.

The stable phase has no end of its own, so a run can be cooled down from any checkpoint or go on
from the last stable one (Hu et al. 2024, arXiv 2404.06395; the shape of the cool-down is the
1 - sqrt of Hägele et al. 2024, arXiv 2405.18392). Knows steps and seconds, nothing else.
"""

from __future__ import annotations

import dataclasses
import math

from recipes.nano.settings import Settings


@dataclasses.dataclass
class Progress:
    """Where a run stands; saved with every checkpoint."""

    step: int = 0
    """Steps done."""
    tokens: int = 0
    """Tokens trained on."""
    seconds: float = 0.0
    """Time spent in training steps."""
    cooldown_start: int = -1
    """First step of the cool-down; -1 before it is decided."""
    cooldown_end: int = -1
    """Step at which the run is over; -1 before it is decided."""

    @property
    def cooling(self) -> bool:
        """Whether the cool-down has begun."""
        return self.cooldown_start >= 0

    @property
    def finished(self) -> bool:
        """Whether the learning rate has reached zero."""
        return self.cooling and self.step >= self.cooldown_end


def scale(progress: Progress, settings: Settings) -> float:
    """Return the factor on the peak learning rates for the next step."""
    if not progress.cooling:
        return min(1.0, (progress.step + 1) / max(1, settings.warmup_steps))
    length = progress.cooldown_end - progress.cooldown_start
    return 1.0 - math.sqrt((progress.step - progress.cooldown_start) / length)


def cooldown_due(progress: Progress, settings: Settings) -> bool:
    """Return whether steps or minutes leave just enough for the cool-down."""
    if progress.cooling:
        return False
    if settings.steps:
        return progress.step >= settings.steps - _cooldown_steps(progress, settings, 0.0)
    budget = settings.minutes * 60.0
    return progress.seconds >= budget * (1.0 - settings.cooldown_share)


def begin_cooldown(progress: Progress, settings: Settings, step_seconds: float) -> None:
    """Fix first and last step of the cool-down; `step_seconds` is what a step takes at present."""
    progress.cooldown_start = progress.step
    progress.cooldown_end = progress.step + _cooldown_steps(progress, settings, step_seconds)


def _cooldown_steps(progress: Progress, settings: Settings, step_seconds: float) -> int:
    if settings.cooldown_steps:
        return settings.cooldown_steps
    if settings.steps:
        return max(1, round(settings.steps * settings.cooldown_share))
    left = settings.minutes * 60.0 - progress.seconds
    if left <= 0 or step_seconds <= 0:
        # Asked for outside the budget: the usual share of what has been trained so far.
        share = settings.cooldown_share
        return max(1, round(progress.step * share / (1.0 - share)))
    return max(1, round(left / step_seconds))
