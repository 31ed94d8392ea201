"""What a run decides before its first step, measured once and then kept: steps, budget, estimate.

A resumed run reads its plan instead of measuring again, so that it goes on exactly. It knows the
cost of steps, not what they learn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from softprompt.errors import UsageError
from softprompt.training.config import TrainingConfig
from softprompt.training.loop import Loop
from softprompt.training.schedule import epoch_batches

__all__ = ["Plan", "check_same", "measure_step"]


@dataclass(frozen=True)
class Plan:
    """The decisions of a run.

    Args:
        placement, initialisation, objective, metric: what `auto` came to.
        chat: whether the model's chat template is used.
        dtype: precision of the backbone.
        cache_bytes: budget for cached contexts.
        steps: of the whole run.
        steps_per_epoch: batches of an epoch.
        rows: number of rows by split.
        dropped: rows left out for their length, by split.
        data: SHA-256 of each file.
        backbone: fingerprints of weights and tokenizer.
        estimate_seconds: expected time of training, validations included.
    """

    placement: str
    initialisation: str
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
            raise UsageError(f"plan.json is damaged ({error}).", "Start the run anew.") from error


def check_same(plan: Plan, data: Mapping[str, str], backbone: Mapping[str, str | None]) -> None:
    """Refuses to resume a run on other data or another backbone.

    Raises:
        UsageError: what differs, by name.
    """
    changed = [name for name, digest in data.items() if plan.data.get(name) != digest]
    if changed:
        raise UsageError(
            f"The data have changed since the run began: {', '.join(sorted(changed))}.",
            "Put the old files back to resume, or start a new run.",
        )
    for what in ("weights", "tokenizer"):
        if plan.backbone.get(what) != backbone.get(what):
            raise UsageError(
                f"The backbone's {what} have changed since the run began.",
                "Use the same model to resume, or start a new run.",
            )


def measure_step(loop: Loop, config: TrainingConfig, module: nn.Module) -> tuple[int, float]:
    """Steps of the run, and the seconds that they and the validations are going to take.

    A batch of the middle of the length order and a validation are timed; nothing is updated. With
    a time budget, steps are cut so that they fit.
    """
    batches = epoch_batches(loop.rows.contexts.buckets, config.batch_size, config.seed, 0)
    middle = sorted(batches, key=lambda batch: batch.bucket)[len(batches) // 2]

    def step() -> None:
        vectors_PD: Tensor = module()
        loop.loss(middle, vectors_PD).backward()  # type: ignore[no-untyped-call]

    vectors_PD = module().detach().float().cpu()
    seconds = loop.per_epoch * _fastest(step) + config.validations * _fastest(
        lambda: loop.validate(vectors_PD)
    )
    module.zero_grad(set_to_none=True)
    steps = (config.epochs or _epochs(loop.per_epoch)) * loop.per_epoch
    if config.time_budget is not None:
        steps = max(1, min(steps, int(config.time_budget / seconds * loop.per_epoch)))
    return steps, steps / loop.per_epoch * seconds


def _epochs(per_epoch: int) -> int:
    """Passes for a run that does not say: a few hundred rows need more of them than thousands."""
    return max(12, min(40, -(-1500 // per_epoch)))


def _fastest(work: Callable[[], object]) -> float:
    """Seconds that a piece of work takes when nothing gets in its way: the least of several tries.

    One try in a busy moment would plan a fraction of the steps that fit.
    """
    tries: list[float] = []
    while len(tries) < 2 or (sum(tries) < 1.0 and len(tries) < 12):
        start = time.perf_counter()
        work()
        tries.append(time.perf_counter() - start)
    return min(tries)
