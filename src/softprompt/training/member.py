"""One prompt in training: its numbers, optimiser, best vectors so far and what was watched.

A population is several of these side by side. It takes gradients and scores; where they come from
is the loop's matter.

Shapes: P places of a prompt, X numbers at each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.training.candidates import Candidate
from softprompt.training.checkpoint import optimizer_state, restore_optimizer
from softprompt.training.config import TrainingConfig
from softprompt.training.monitor import Monitor
from softprompt.training.optimizers import OPTIMIZERS

__all__ = ["Member"]


class Member:
    """A candidate and its state.

    Args:
        candidate: how it was made.
        module: its parametrisation; returns [P, X].
        config: of the optimisation.
        scale: root mean square of the backbone's embedding entries.
        rate: what multiplies the candidate's learning rate.
        made_of: places of the prompt by the training row that they were made of.
    """

    def __init__(
        self,
        candidate: Candidate,
        module: nn.Module,
        config: TrainingConfig,
        scale: float,
        rate: float = 1.0,
        made_of: Mapping[int, Sequence[int]] | None = None,
    ) -> None:
        self.candidate, self.module = candidate, module
        self.made_of = made_of or {}
        groups = [
            {**group, "lr": candidate.learning_rate * rate * group["factor"]}
            for group in module.groups(scale)  # type: ignore[operator]
        ]
        self.optimizer = OPTIMIZERS.get(config.optimizer)(groups, config.weight_decay)
        self._peaks = [group["lr"] for group in self.optimizer.param_groups]
        self._clip = config.clip
        self.initial_PX: Tensor = module().detach().float().cpu().clone()
        self.best_PX, self.best_score, self.best_step = self.initial_PX.clone(), -math.inf, 0
        self.monitor = Monitor(self.initial_PX)
        self.waited = 0
        self.left: int | None = None
        """The step at which it was given up; None while it trains."""

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What is trained."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    @property
    def learning_rate(self) -> float:
        """The rate of the last step, in absolute units."""
        return float(self.optimizer.param_groups[0]["lr"])

    def vectors(self) -> Tensor:
        """[P, X] the vectors now, fp32 on the CPU, apart from training."""
        vectors_PX: Tensor = self.module()
        return vectors_PX.detach().float().cpu().clone()

    def update(self, factor: float) -> None:
        """One step along the gradients, which are clipped and then cleared.

        Args:
            factor: of the peak learning rate.
        """
        for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        nn.utils.clip_grad_norm_(self.parameters, self._clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def scored(self, vectors_PX: Tensor, score: float, step: int) -> bool:
        """Takes in a validation; returns whether it is this member's best so far."""
        # Of equal scores the first counts, but trained vectors go before untrained ones.
        untrained = self.best_step == 0 < step
        better = score > self.best_score or (score == self.best_score and untrained)
        if better:
            self.best_PX, self.best_score, self.best_step = vectors_PX, score, step
        self.waited = 0 if better else self.waited + 1
        return better

    def report(self) -> dict[str, Any]:
        """What it was, what it scored, when it was given up."""
        return {
            **self.candidate.as_dict(),
            "score": self.best_score if math.isfinite(self.best_score) else None,
            "best_step": self.best_step,
            "left": self.left,
        }

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a checkpoint keeps of it as tensors."""
        kept = {"initial": self.initial_PX, "best": self.best_PX}
        if self.left is None:
            kept |= {f"module.{k}": v for k, v in self.module.state_dict().items()}
            kept |= optimizer_state(self.optimizer)[0]
        return kept

    def state(self) -> dict[str, Any]:
        """Everything else that a checkpoint keeps of it."""
        return {
            "optimizer": optimizer_state(self.optimizer)[1],
            "best_score": self.best_score if math.isfinite(self.best_score) else None,
            "best_step": self.best_step,
            "waited": self.waited,
            "left": self.left,
            "monitor": self.monitor.state(),
        }

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Goes on from what `tensors` and `state` gave."""
        self.initial_PX, self.best_PX = tensors["initial"], tensors["best"]
        self.best_score = -math.inf if state["best_score"] is None else state["best_score"]
        self.best_step, self.waited = state["best_step"], state["waited"]
        self.left = state["left"]
        self.monitor = Monitor(self.initial_PX)
        self.monitor.restore(state["monitor"])
        if self.left is None:
            prefix = "module."
            self.module.load_state_dict(
                {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            )
            restore_optimizer(self.optimizer, tensors, state["optimizer"])

    def finite(self, loss: float, gradient_PX: Tensor) -> bool:
        """Whether loss and gradient can be learned from."""
        return math.isfinite(loss) and bool(torch.isfinite(gradient_PX).all())
