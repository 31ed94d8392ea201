"""Watching the vectors: gradient norm and drift of each, and a word when something is off.

It keeps numbers and says plain sentences; stopping is the loop's matter.

Shapes: P places of a prompt, X numbers at each.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from softprompt.locale import _, figure

__all__ = ["Monitor"]

_VANISHED = 1e-4
_EXPLODED = 30.0
_STILL = 1e-7


class Monitor:
    """Statistics of the vectors between two validations.

    Args:
        initial_PX: [P, X] where they started.
    """

    def __init__(self, initial_PX: Tensor) -> None:
        self._initial_PX = initial_PX.detach().float().cpu().clone()
        self._size_P = self._initial_PX.norm(dim=1).clamp(min=1e-12)
        self.first: float | None = None
        self._clear()

    def _clear(self) -> None:
        self._sum_P = torch.zeros(len(self._initial_PX), dtype=torch.float64)
        self._steps = 0
        self._largest = 0.0
        self._loss = 0.0

    def step(self, loss: float, gradient_PX: Tensor) -> None:
        """Takes in one step's loss and gradient of the vectors, before clipping."""
        norms_P = gradient_PX.detach().float().norm(dim=1).cpu().double()
        self._sum_P += norms_P
        self._steps += 1
        self._largest = max(self._largest, float(norms_P.norm()))
        self._loss += loss

    def report(self, vectors_PX: Tensor) -> tuple[dict[str, Any], list[str]]:
        """The record since the last one, and warnings in plain words.

        Args:
            vectors_PX: [P, X] the vectors now.
        """
        mean_P = self._sum_P / max(1, self._steps)
        drift_P = (vectors_PX.detach().float().cpu() - self._initial_PX).norm(dim=1) / self._size_P
        total = float(mean_P.norm())
        if self.first is None:
            self.first = total
        record = {
            "loss": self._loss / max(1, self._steps),
            "gradient_norm": total,
            "largest_gradient_norm": self._largest,
            "gradient_norms": [float(f"{value:.4g}") for value in mean_P.tolist()],
            "drift": [float(f"{value:.4g}") for value in drift_P.tolist()],
        }
        warnings = self._warnings(total)
        self._clear()
        return record, warnings

    def _warnings(self, total: float) -> list[str]:
        first = self.first or 0.0
        if total < max(_STILL, _VANISHED * first):
            return [
                _(
                    "The gradients have vanished (norm {norm}): the vectors hardly move any more. "
                    "Try a larger learning_rate or another initialisation."
                ).format(norm=figure(total, ".1e"))
            ]
        if first > 0 and self._largest > _EXPLODED * first:
            return [
                _(
                    "The gradients jump (norm up to {norm}, {first} at the start). Try a smaller "
                    "learning_rate."
                ).format(norm=figure(self._largest, ".1e"), first=figure(first, ".1e"))
            ]
        return []

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {
            "first": self.first,
            "sum": self._sum_P.tolist(),
            "steps": self._steps,
            "largest": self._largest,
            "loss": self._loss,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint's state."""
        self.first = state["first"]
        self._sum_P = torch.tensor(state["sum"], dtype=torch.float64)
        self._steps, self._largest = state["steps"], state["largest"]
        self._loss = state["loss"]
