"""What a run decides before its first step, measured once and then kept: steps, budget, estimate.

A resumed run reads its plan instead of measuring again, so that it goes on exactly. It knows the
cost of steps, not what they learn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch

from softprompt.errors import UsageError
from softprompt.locale import _
from softprompt.training.candidates import halvings
from softprompt.training.config import TrainingConfig
from softprompt.training.loop import Course, Loop
from softprompt.training.schedule import epoch_batches, validation_interval

__all__ = [
    "Plan",
    "check_same",
    "choose_threads",
    "epochs_for",
    "measure_step",
    "step_of",
    "threads_of",
]


@dataclass(frozen=True)
class Plan:
    """The decisions of a run.

    Args:
        placement, objective, metric: what `auto` came to.
        candidates: the population (see `Candidate`).
        halvings: pairs of a step and the number of candidates kept after it.
        part: examples of a batch in one pass, as many as memory holds.
        threads: processor threads; kept, because their number decides the last bits of sums.
        chat: whether the model's chat template is used.
        dtype: precision of the backbone.
        cache_bytes: budget for cached contexts.
        cache_loss_change: by how much packed contexts change the loss, a fraction; None where they
            are not packed.
        steps: of the whole run.
        steps_per_epoch: batches of an epoch.
        rows: number of rows by split.
        dropped: rows left out for their length, by split.
        data: SHA-256 of each file.
        backbone: fingerprints of weights and tokenizer.
        estimate_seconds: expected time of training, validations included.
    """

    placement: str
    candidates: Sequence[Mapping[str, Any]]
    halvings: Sequence[Sequence[int]]
    part: int
    threads: int
    objective: str
    metric: str
    chat: bool
    dtype: str
    cache_bytes: int
    steps: int
    steps_per_epoch: int
    rows: Mapping[str, int]
    dropped: Mapping[str, int]
    data: Mapping[str, str]
    backbone: Mapping[str, str | None]
    estimate_seconds: float
    cache_loss_change: float | None = None

    @property
    def course(self) -> Course:
        """How long the run takes and when its population shrinks."""
        return Course(self.steps, tuple((step, keep) for step, keep in self.halvings), self.part)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for plan.json."""
        return asdict(self)

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Plan:
        """The plan that plan.json holds.

        Raises:
            UsageError: it lacks a field.
        """
        try:
            return cls(**value)
        except TypeError as error:
            raise UsageError(
                _("plan.json is damaged ({error}).").format(error=error), _("Start the run anew.")
            ) from error


def refuse_changed(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuses files that are not what they were.

    Args:
        before, now: digests by file name.

    Raises:
        UsageError: which have changed.
    """
    changed = [name for name, digest in now.items() if before.get(name) != digest]
    if changed:
        raise UsageError(
            _("The data have changed since the run began: {names}.").format(
                names=", ".join(sorted(changed))
            ),
            _("Put the old files back to resume, or start a new run."),
        )


def refuse_changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuses settings that are not what a run was begun with.

    Args:
        before, now: configurations as they are written down. The backbone's settings do not count:
            a run that goes on computes in the precision that was chosen at its start.

    Raises:
        UsageError: which have changed.
    """
    changed = []
    for section in sorted({*before, *now} - {"backbone"}):
        old, new = before.get(section), now.get(section)
        if not isinstance(old, Mapping) or not isinstance(new, Mapping):
            changed += [section] if section in before and old != new else []
            continue
        # A setting that the run's version did not have yet is as it was.
        names = [name for name, value in old.items() if name in new and new[name] != value]
        changed += [f"{section}.{name}" for name in names]
    if changed:
        raise UsageError(
            _("The run in this folder was begun with other settings: {names} differ.").format(
                names=", ".join(changed)
            ),
            _("Use the same settings to go on, or name another folder."),
        )


def check_same(plan: Plan, data: Mapping[str, str], backbone: Mapping[str, str | None]) -> None:
    """Refuses to resume a run on other data or another backbone.

    Raises:
        UsageError: what differs, by name.
    """
    refuse_changed(plan.data, data)
    for what, told in (("weights", _("weights")), ("tokenizer", _("tokenizer"))):
        if plan.backbone.get(what) != backbone.get(what):
            raise UsageError(
                _("The backbone's {what} have changed since the run began.").format(what=told),
                _("Use the same model to resume, or start a new run."),
            )


@contextmanager
def threads_of(count: int) -> Iterator[None]:
    """Computes with that many processor threads, and with as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_threads(device: torch.device, step: Callable[[], object]) -> int:
    """The faster of one processor thread and all of them for a step of training.

    A small model's operations are too short to be shared out, and waiting for one another costs
    more than a second core brings.

    Args:
        device: that computes the step; threads count on a processor only.
        step: forward and backward, without a trace in what is trained.
    """
    every = torch.get_num_threads()
    if every == 1 or device.type != "cpu":
        return every
    taken: dict[int, float] = {}
    for count in (1, every):
        with threads_of(count):
            taken[count] = _fastest(step)
    return min(taken, key=lambda count: taken[count])


def step_of(loop: Loop, config: TrainingConfig, count: int) -> Callable[[], None]:
    """Forward and backward of the first prompts, parametrisations too; no update.

    A batch of the middle of the length order stands for all.

    Args:
        loop: that trains them.
        config: whose batches are taken.
        count: of the prompts.
    """
    batches = epoch_batches(loop.rows.contexts.buckets, config.batch_size, config.seed, 0)
    middle = sorted(batches, key=lambda batch: batch.bucket)[len(batches) // 2]
    members = loop.members[:count]

    def step() -> None:
        prompts = [member.module() for member in members]
        leaves = [vectors_PX.detach().requires_grad_() for vectors_PX in prompts]
        for losses_K in loop.losses(middle, leaves):
            losses_K.sum().backward()  # type: ignore[no-untyped-call]
        for member, vectors_PX, leaf in zip(members, prompts, leaves, strict=True):
            vectors_PX.backward(leaf.grad)
            member.optimizer.zero_grad(set_to_none=True)

    return step


def measure_step(loop: Loop, config: TrainingConfig) -> tuple[Course, float]:
    """The run's course, and the seconds that its steps and validations are going to take.

    A step is timed with the whole population and with the survivors, a validation with the
    survivors. With a time budget, steps are cut so that they fit.
    """
    size = len(loop.members)
    last = min(size, config.survivors)
    step_last = _fastest(step_of(loop, config, last))
    more = _fastest(step_of(loop, config, size)) / step_last if size > last else 1.0
    survivors = [member.vectors() for member in loop.members[:last]]
    validation = _fastest(lambda: loop.validate(survivors))

    def course(steps: int) -> tuple[Course, float]:
        shrinking = halvings(steps, size, config.survivors, config.halvings)
        equal, begun, count = 0.0, 0, size
        for step, keep in (*shrinking, (steps, last)):
            # Between the two measured sizes the time grows with the number of prompts.
            share = (count - last) / (size - last) if size > last else 0.0
            equal += (step - begun) * (1.0 + share * (more - 1.0))
            begun, count = step, keep
        every = validation_interval(loop.per_epoch, steps, config.validations)
        seconds = equal * (step_last + validation / every) + validation
        return Course(steps, shrinking, loop.course.part), seconds

    steps = (config.epochs or epochs_for(loop.per_epoch)) * loop.per_epoch
    planned, seconds = course(steps)
    if config.time_budget is not None:
        # Fewer steps may be validated more often, so the first cut may not be enough.
        for _again in range(3):
            if seconds > config.time_budget:
                # The validation before the first step is made anyway.
                share = max(0.0, config.time_budget - validation) / (seconds - validation)
                planned, seconds = course(max(1, int(planned.steps * share)))
    return planned, seconds


def epochs_for(per_epoch: int) -> int:
    """Passes for a run that does not say: a few hundred rows need more of them than thousands."""
    return max(12, min(40, -(-1500 // per_epoch)))


def _fastest(work: Callable[[], object]) -> float:
    """Seconds that a piece of work takes when nothing gets in its way: the least of several tries.

    One short try in a busy moment would plan a fraction of the steps that fit.
    """
    tries: list[float] = []
    while not tries or (sum(tries) < 0.5 and len(tries) < 12):
        start = time.perf_counter()
        work()
        tries.append(time.perf_counter() - start)
    return min(tries)
